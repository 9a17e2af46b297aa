"""Interleaved timings of contenders, each in a process of its own.

A process waits between its turns, so that one library's threads never spin while
another is timed; a ratio is the median of the ratios within rounds.
"""

import multiprocessing
import multiprocessing.connection
import os
import resource
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

Turns = list[dict[str, float]]


class Contender(NamedTuple):
    """One process to be timed: ``prepare`` returns a function that times one turn.

    ``environment`` is set before the process starts, for what reads it only then.
    """

    name: str
    prepare: Callable[..., Callable[[], dict[str, float]]]
    arguments: tuple
    environment: Mapping[str, str] = {}


def serve(
    pipe: multiprocessing.connection.Connection,
    prepare: Callable[..., Callable[[], dict[str, float]]],
    arguments: tuple,
) -> None:
    """A contender's process: prepare, warm up, then one turn for each message."""
    turn = prepare(*arguments)
    turn()
    pipe.send("ready")
    while pipe.recv() == "go":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send(turn() | {"peak_mib": peak})


def race(contenders: list[Contender], rounds: int) -> dict[str, Turns]:
    """Interleaved turns of all contenders, one at a time."""
    context = multiprocessing.get_context("spawn")
    pipes, turns = {}, {c.name: [] for c in contenders}
    for contender in contenders:
        pipe, theirs = context.Pipe()
        arguments = (theirs, contender.prepare, contender.arguments)
        os.environ.update(contender.environment)
        context.Process(target=serve, args=arguments, daemon=True).start()
        for name in contender.environment:
            del os.environ[name]
        theirs.close()  # so that a contender that dies is heard of
        pipe.recv()  # ready: the next one starts on a quiet machine
        pipes[contender.name] = pipe
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send("go")
            turns[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send("stop")
    return turns


def ratio(turns: Turns, against: Turns, figure: str = "ms") -> float:
    """The median over rounds of one contender's figure over another's."""
    pairs = zip(turns, against, strict=True)
    return statistics.median(a[figure] / b[figure] for a, b in pairs)
