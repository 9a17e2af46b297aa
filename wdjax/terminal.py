"""What both command lines make of the streams that they are given."""

import io
import os
import sys


def tolerate() -> None:
    """Print a ? for what a terminal cannot show, such as λ."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def hang_up() -> None:
    """Drop what is left for a reader who has gone, as in ``wdjax … | head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
