"""A bar on a terminal, a line now and then in a log."""

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from wdjax.sweep import Progress

SECONDS_BETWEEN_LINES = 10.0
# Without tqdm's own times: its clock is the one that people set.
LAYOUT = "{{desc}}: {{percentage:3.0f}}%|{{bar}}| {past}<{left}{{postfix}}"


class CellBar:
    """Steps and cells done, loss of the best cell, time left; around one grid.

    Args:
        name: what is being run.
        write: prints one line, for output that is not a terminal.
    """

    def __init__(self, name: str, write: Callable[[str], None]):
        """Start at zero."""
        self.name, self.write, self.last_line = name, write, 0.0
        dumb = os.environ.get("TERM") == "dumb"  # cannot draw over a line
        self.terminal = sys.stderr.isatty() and not dumb
        hidden = not self.terminal
        layout = LAYOUT.format(past="00:00", left="?")
        self.bar = tqdm(total=1.0, desc=name, bar_format=layout, disable=hidden)

    def __enter__(self) -> Self:
        """Show the first line, before anything is compiled."""
        if not self.terminal:
            self.write(f"{self.name}: compiling")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the finished bar on the screen."""
        self.bar.close()

    def __call__(self, progress: Progress) -> None:
        """Show what is known after a segment."""
        done, cells, seconds, diverged, share, best = progress
        if self.terminal:
            past, left = map(tqdm.format_interval, (seconds, _left(seconds, share)))
            self.bar.n = share
            self.bar.bar_format = LAYOUT.format(past=past, left=left)
            self.bar.set_postfix(
                cells=f"{done}/{cells}", diverged=diverged, loss=f"{best:.3g}"
            )
        elif done == cells or seconds - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = seconds
            left = _left(seconds, share)
            self.write(
                f"{self.name}: {done} of {cells} cells, {share:.0%} of the steps, "
                f"{seconds:.0f} s, about {left:.0f} s left, best loss {best:.3g}, "
                f"{diverged} diverged"
            )


def _left(seconds: float, share: float) -> float:
    """Seconds to go, if they go on like that."""
    return seconds * (1 - share) / share if share > 0 else 0.0
