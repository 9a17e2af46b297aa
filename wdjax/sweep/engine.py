"""Run one training function over a whole grid or design."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Int, PyTree

from wdjax.data import Dataset
from wdjax.sweep import memory, programs
from wdjax.sweep.cells import Cells, Plan, cells
from wdjax.sweep.checkpoints import fingerprint
from wdjax.sweep.labels import labelled
from wdjax.sweep.layout import Layout, Slots, check_layout, default_layout, slots
from wdjax.sweep.measure import largest_study, measured_layout
from wdjax.sweep.record import version
from wdjax.sweep.store import Store, open_store, stored_layout
from wdjax.sweep.study import Flight, Outcomes, Study
from wdjax.sweep.training import Train, Training, in_one_piece


class Progress(NamedTuple):
    """What is known after a segment.

    Attributes:
        cells_done: how many cells are finished.
        cells: how many there are.
        seconds: since the programs were compiled.
        diverged: of the finished cells.
        share: of all the work, the steps of unfinished cells too.
        best_loss: the least training loss in the last record of any cell; NaN where
            the training records none.
    """

    cells_done: int
    cells: int
    seconds: float
    diverged: int
    share: float
    best_loss: float


def run(
    train: Train,
    grid: Plan,
    data: PyTree,
    *,
    layout: Layout | Literal["measured"] | None = None,
    record_steps: Int[np.ndarray, " records"] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    folder: str | Path | None = None,
    resume: bool = False,
    every: float = 15.0,
    configuration: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> xr.Dataset:
    """Train every cell of a grid or a design.

    The programs are compiled once, for a chunk of cells, and called until all are
    done. What a chunk or a block lacks is filled up with copies, which are dropped from
    the result.

    With a folder nothing is lost: a run that was stopped at any moment goes on with
    ``resume=True`` and ends with the bits of one that was not. Under
    ``jax.distributed`` each process trains a part of the chunks, on its own devices,
    and every process returns the whole result; they share nothing but the folder.

    Args:
        train: ``(data, hypers, key) -> outcome``, as from :func:`make_train`; a pure
            function whose outcome is a flat dictionary of scalars and curves.
        grid: which cells, as a grid or a design; what it names ``x`` arrives as
            ``hypers["x"]``.
        data: whatever ``train`` takes first; an argument of the program.
        layout: how cells lie on devices. If not given, it is the folder's; else on
            CPU the default, and elsewhere as many cells at once as fit, up to 512 of
            a seed. ``"measured"`` takes the fastest of some, each timed for a few
            steps.
        record_steps: the steps at which curves were recorded, as the coordinate
            ``record``.
        progress: called after each segment of a chunk.
        folder: for checkpoints and finished chunks, of this study alone.
        resume: go on with what the folder holds.
        every: seconds between two checkpoints of a chunk.
        configuration: what else the study is, to be compared when it is resumed.
        say: told what was found unreadable.

    Returns:
        A data set with the grid's or the design's dimensions and coordinates, and
        ``record`` for curves. Attributes: ``compile_seconds``, ``run_seconds``,
        ``layout``.

    Raises:
        ValueError: the layout does not fit the devices, ``data`` is a data set and not
            its arrays, the folder holds another study or cannot be written, or there
            are several processes and no folder.
        MemoryError: it does not fit into memory; says what would.
    """
    me, processes = jax.process_index(), jax.process_count()
    if processes > 1 and folder is None:
        raise ValueError(
            f"There are {processes} processes; give them a folder that they share."
        )
    if not isinstance(layout, Layout) and folder is not None:
        layout = stored_layout(folder, process=me) or layout
    started = time.perf_counter()
    ready = None
    if not isinstance(layout, Layout):
        layout, ready = _chosen(train, grid, data, layout, say)
        data = ready.data if ready else data  # once on the devices
    lowered, data, flat, places = _lowered(train, grid, data, layout)
    store = None
    if folder is not None:
        identity = _identity(lowered, grid, data, layout, configuration or {})
        store = open_store(
            folder, identity, resume=resume, every=every, process=me, say=say
        )
    study = Study(_training(train), lowered, data, flat, places, layout)
    with memory.within(layout), store or contextlib.nullcontext():
        outcomes = _recalled(study, store)
        if len(outcomes) < study.chunks:
            study = ready or study.compiled()
        compiled = time.perf_counter()
        for number in range(me, study.chunks, processes):
            if number not in outcomes:
                news = partial(_news, study, outcomes, compiled)
                outcomes[number] = _train_chunk(
                    study, store, number, lambda f, news=news: progress(news(f))
                )
    outcomes |= _of_others(study, store, outcomes)
    ran = time.perf_counter()
    progress(_news(study, outcomes, compiled, None))
    result = _labelled(study, outcomes, grid, record_steps)
    result.attrs |= {
        "compile_seconds": compiled - started,
        "run_seconds": ran - compiled,
        "layout": str(layout._asdict()),
    }
    return result


def _chosen(
    train: Train,
    grid: Plan,
    data: PyTree,
    how: Literal["measured"] | None,
    say: Callable[[str], None],
) -> tuple[Layout, Study | None]:
    """A layout, and its study if that was compiled to see whether it fits."""
    if how is None and jax.default_backend() == "cpu":
        return default_layout(grid.size), None

    def compiled(training: Training, layout: Layout) -> Study:
        return prepare(training, grid, data, layout)

    if how == "measured":
        return measured_layout(_training(train), grid, compiled, say=say), None
    study = largest_study(_training(train), grid, compiled, say=say)
    return study.layout, study


def _train_chunk(
    study: Study,
    store: Store | None,
    number: int,
    progress: Callable[[Flight], None],
) -> Outcomes:
    """One chunk, from its last checkpoint or its first step to its outcome."""
    flight = study.begin(number)
    if store is not None:
        flight = store.restore(number, flight) or flight
    try:
        while flight.segment < study.training.segments:
            flight = study.advance(flight)
            if store is not None and flight.segment < study.training.segments:
                store.keep(flight)
            progress(flight)
        outcome = study.finish(flight)
    except KeyboardInterrupt:
        if store is not None and flight.segment and not flight.is_spent():
            store.keep(flight, now=True)
        raise
    if store is not None:
        store.finish(number, outcome)
    return outcome


def _recalled(study: Study, store: Store | None) -> dict[int, Outcomes]:
    """The chunks that are finished already."""
    if store is None:
        return {}
    found = {number: store.finished(number) for number in range(study.chunks)}
    return {n: outcome for n, outcome in found.items() if outcome is not None}


def _of_others(
    study: Study, store: Store | None, outcomes: Mapping[int, Outcomes]
) -> dict[int, Outcomes]:
    """The chunks of the other processes, once they are there."""
    found: dict[int, Outcomes] = {}
    missing = [n for n in range(study.chunks) if n not in outcomes]
    while store is not None and missing:
        for number in missing:
            outcome = store.finished(number)
            if outcome is not None:
                found[number] = outcome
        missing = [number for number in missing if number not in found]
        time.sleep(0.1 if missing else 0.0)
    return found


def _identity(
    lowered: programs.Programs,
    grid: Plan,
    data: PyTree,
    layout: Layout,
    configuration: Mapping[str, Any],
) -> dict[str, Any]:
    """What a study is: its settings, its code as programs, its data."""
    text = "".join(program.as_text() for program in lowered)
    return {
        "configuration": dict(configuration),
        "grid": {name: values.tolist() for name, (_, values) in grid.coords.items()},
        "layout": layout._asdict(),
        "data": fingerprint(data),
        "program": hashlib.sha256(text.encode()).hexdigest(),
        "versions": {name: version(name) for name in ("wdjax", "jax", "jaxlib")},
    }


def prepare(train: Train, grid: Plan, data: PyTree, layout: Layout) -> Study:
    """Put the data on the devices and compile the programs of a chunk.

    Args:
        train: see :func:`run`.
        grid: see :func:`run`.
        data: see :func:`run`.
        layout: see :func:`run`.

    Returns:
        The study, before its first cell.

    Raises:
        ValueError: the layout does not fit the devices.
    """
    lowered, data, flat, places = _lowered(train, grid, data, layout)
    return Study(_training(train), lowered, data, flat, places, layout).compiled()


def lower(train: Train, grid: Plan, data: PyTree, layout: Layout) -> programs.Programs:
    """The programs of a chunk, not compiled: their text, their cost, their memory.

    Args:
        train: see :func:`run`.
        grid: see :func:`run`.
        data: see :func:`run`; its values do not enter the programs.
        layout: see :func:`run`.

    Returns:
        JAX's lowered programs.

    Raises:
        ValueError: the layout does not fit the devices.
    """
    return _lowered(train, grid, data, layout)[0]


def _lowered(
    train: Train, grid: Plan, data: PyTree, layout: Layout
) -> tuple[programs.Programs, PyTree, Cells, Slots]:
    check_layout(layout)
    if isinstance(data, Dataset):
        raise ValueError(
            f"data is the data set {data.name}; give its arrays: sweep.arrays(dataset)."
        )
    flat = cells(grid)
    places = slots(flat.seed, layout)
    data = programs.replicated(data, layout)
    example = programs.chunk_of(flat.hypers, flat.seed, places.cell[0], layout)
    lowered = programs.lower(_training(train), data, example, layout)
    return lowered, data, flat, places


def _training(train: Train) -> Training:
    return train if isinstance(train, Training) else in_one_piece(train)


def _news(
    study: Study,
    outcomes: Mapping[int, Outcomes],
    since: float,
    flight: Flight | None,
) -> Progress:
    """What is known after a segment, or at the end."""
    seconds = time.perf_counter() - since
    total = int(study.slots.real.sum())
    done = sum(len(study.cells(number)) for number in outcomes)
    flying = 0.0 if flight is None else len(study.cells(flight.number))
    passed = 0.0 if flight is None else flight.segment / study.training.segments
    diverged = sum(
        int(np.sum(outcome.get("diverged_at", np.array([-1])) >= 0))
        for outcome in outcomes.values()
    )
    losses = [o["loss"][..., -1].ravel() for o in outcomes.values() if "loss" in o]
    if flight is not None and "loss" in flight.records[-1]:
        losses.append(flight.records[-1]["loss"].ravel())
    finite = [loss[np.isfinite(loss)] for loss in losses]
    best = min((float(loss.min()) for loss in finite if loss.size), default=np.nan)
    share = (done + flying * passed) / total
    return Progress(done, total, seconds, diverged, share, best)


def _labelled(
    study: Study,
    outcomes: Mapping[int, Outcomes],
    grid: Plan,
    record_steps: np.ndarray | None,
) -> xr.Dataset:
    """Chunks of flat cells, as arrays over the grid's named dimensions."""
    order = np.concatenate([study.cells(number) for number in outcomes])
    flat: dict[str, np.ndarray] = {}
    for name in next(iter(outcomes.values())):
        values = np.concatenate([outcome[name] for outcome in outcomes.values()])
        flat[name] = np.empty_like(values)
        flat[name][order] = values
    return labelled(grid, flat, record_steps)
