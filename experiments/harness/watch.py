"""What can be watched beside the bar: a log of JSON lines, TensorBoard, a trace."""

import atexit
import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from wdjax.sweep import Progress

FIELDS = ("cells_done", "share", "best_loss", "diverged")


def json_lines(path: Path, experiment: str) -> Callable[[str, Progress], None]:
    """A watch that appends a line of JSON for every segment.

    Args:
        path: of the log; older lines stay.
        experiment: its name, in every line.
    """

    def watch(name: str, news: Progress) -> None:
        line = {"time": time.time(), "experiment": experiment, "grid": name}
        line |= {k: v if math.isfinite(v) else None for k, v in news._asdict().items()}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return watch


def tensorboard(folder: Path, experiment: str) -> Callable[[str, Progress], None]:
    """A watch that writes TensorBoard scalars, over the segments of each grid.

    Args:
        folder: for ``tensorboard --logdir``.
        experiment: the name in front of each grid's.

    Raises:
        ValueError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError(
            "--tensorboard needs tensorboardX, which is not installed: run "
            '`pip install "wdjax[watch]"`.'
        ) from None
    writers: dict[str, SummaryWriter] = {}
    counts: dict[str, int] = {}

    def watch(name: str, news: Progress) -> None:
        if name not in writers:
            writer = SummaryWriter(str(folder / f"{experiment}.{name}"), flush_secs=5)
            atexit.register(writer.close)  # its flush() leaves what is still queued
            writers[name] = writer
        counts[name] = counts.get(name, 0) + 1
        for field in FIELDS:
            writers[name].add_scalar(field, getattr(news, field), counts[name])

    return watch


@contextlib.contextmanager
def traced(folder: Path | None) -> Iterator[None]:
    """A ``jax.profiler`` trace of what is inside, if a folder is given."""
    if folder is None:
        yield
        return
    with jax.profiler.trace(str(folder)):
        yield
