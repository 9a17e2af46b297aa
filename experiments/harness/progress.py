"""A bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from wdjax.sweep import Progress

SECONDS_BETWEEN_LINES = 10.0


class CellBar:
    """Cells done, cells diverged, time left; a context manager around one grid.

    Args:
        name: what is being run.
        cells: how many there are.
        write: prints one line, for output that is not a terminal.
    """

    def __init__(self, name: str, cells: int, write: Callable[[str], None]):
        """Start at zero."""
        self.name, self.write, self.last_line = name, write, 0.0
        self.terminal = sys.stderr.isatty()
        hidden = not self.terminal
        self.bar = tqdm(total=cells, desc=name, unit="cell", disable=hidden)

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
        """Show what is known after a chunk."""
        done, cells, seconds, diverged = progress
        if self.terminal:
            self.bar.set_postfix(diverged=diverged, refresh=False)
            self.bar.update(done - self.bar.n)
        elif done == cells or seconds - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = seconds
            left = seconds * (cells - done) / done
            self.write(
                f"{self.name}: {done} of {cells} cells, {seconds:.0f} s, about "
                f"{left:.0f} s left, {diverged} diverged"
            )
