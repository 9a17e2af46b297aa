"""Instruments for weight decay, on the command line.

Examples:
  wdjax convert 0.1 --from pytorch:AdamW --to paper --learning-rate 1e-3
  wdjax convert --list
  wdjax doctor train:init_params --learning-rate 1e-3 --weight-decay 0.1 --steps 5000
  wdjax report results
"""

import argparse
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import wdjax
from wdjax import check

COMMANDS = {
    "audit": "wdjax.inspect.commands.audit",
    "convert": "wdjax.inspect.commands.convert",
    "doctor": "wdjax.inspect.commands.doctor",
    "report": "wdjax.report.command",
}
"""Name and module of each subcommand.

A module has a docstring, whose first line is its summary, ``add_arguments(parser)`` and
``run(arguments)``, which returns the exit code. A ``ValueError`` of either becomes a
sentence on stderr and exit code 2.
"""


class _Parser(argparse.ArgumentParser):
    """Ends with a sentence instead of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: the arguments; those of the process if None.

    Returns:
        The exit code: 2 for input that makes no sense.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without λ gets a ?
    words = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    prog = f"wdjax {words[0]}" if words[0] in COMMANDS else "wdjax"
    try:
        return _run(words)
    except ValueError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `wdjax … | head`: whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        known = check.nearest(words[0], COMMANDS)
        raise ValueError(f"There is no command {words[0]!r}. {known}")
    arguments, unknown = _parser().parse_known_args(words)
    if unknown:
        _refuse(unknown[0], arguments.parser)
    code = arguments.run(arguments)
    sys.stdout.flush()  # here, so that a closed pipe is met above
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("wdjax", description=__doc__, **_FORMAT)
    parser.add_argument("--version", action="version", version=wdjax.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, path in COMMANDS.items():
        module = importlib.import_module(path)
        text = module.__doc__ or ""
        summary = text.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=text, **_FORMAT)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


_FORMAT = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
}


def _refuse(word: str, parser: argparse.ArgumentParser) -> NoReturn:
    if not word.startswith("-"):
        raise ValueError(f"{word!r} is one word too many.")
    options = sorted(set(re.findall(r"--[\w-]+", parser.format_usage())))
    raise ValueError(f"There is no option {word}. {check.nearest(word, options)}")
