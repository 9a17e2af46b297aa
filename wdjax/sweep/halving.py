"""Successive halving: the worst points stop early, the best go on where they were."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, PyTree

from wdjax.sweep.cells import Design, Plan, cells
from wdjax.sweep.engine import Progress, prepare
from wdjax.sweep.labels import labelled
from wdjax.sweep.layout import Layout, default_layout, slots
from wdjax.sweep.metric import by_seed, means, metric_shape
from wdjax.sweep.programs import spread
from wdjax.sweep.study import Flight, Outcomes, Study
from wdjax.sweep.training import Training

Report = Callable[[int, Outcomes], None]


class _Race(NamedTuple):
    """What is decided before it begins; ``stops`` are the rungs and the end."""

    plan: Plan
    stops: Sequence[int]
    keep: float
    metric: str

    @property
    def seeds(self) -> int:
        return self.plan.shape[0]

    @property
    def points(self) -> int:
        return self.plan.size // self.seeds


class _Leg(NamedTuple):
    """What the points in the race did between two rungs.

    Attributes:
        points: their numbers in the plan.
        first: the leg's first segment.
        states: at its end, on the host, a leading axis of cells.
        curves: ``(cells, segments of the leg)`` values for each name.
        finals: ``(cells,)`` values for each name, of the states at its end.
    """

    points: Int[np.ndarray, " points"]
    first: int
    states: PyTree
    curves: Outcomes
    finals: Outcomes


def successive_halving(
    train: Training,
    plan: Plan,
    data: PyTree,
    *,
    rungs: Sequence[int],
    keep: float = 1 / 2,
    metric: str = "validation_loss",
    layout: Layout | None = None,
    record_steps: Int[np.ndarray, " records"] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> xr.Dataset:
    r"""Train all points a little, the better ones longer, the best to the end.

    At each rung all points have come to the same segment. Of n points,
    :math:`\max(1, \lfloor n \cdot \text{keep} \rfloor)` go on: those of the least
    metric, a mean over seeds. A point of which a seed's is not a number is last; of
    equal ones the first goes on.

    Who goes on keeps its exact state, and ends as it would have in
    :func:`~wdjax.sweep.run`: with the same bits if the layout's block is 1, and
    otherwise to rounding, as between any two layouts. The survivors are packed into as
    few blocks as hold them, for which the programs are compiled anew. Between rungs the
    states of all cells are in the host's memory.

    Args:
        train: in segments, as from :func:`~wdjax.sweep.make_train`.
        plan: a grid or a design; its points are what it holds for each seed.
        data: see :func:`~wdjax.sweep.run`.
        rungs: after how many segments to choose; increasing, below the training's own.
        keep: the share of points that go on, in (0, 1).
        metric: what is to be least: in the last record, or, where records do not hold
            it, in what the training's ``finish`` makes of the state at the rung.
        layout: of the first leg; by default one that suits the backend.
        record_steps: see :func:`~wdjax.sweep.run`.
        progress: called after each segment of a chunk, and at the end.

    Returns:
        The data set of :func:`~wdjax.sweep.run`, with NaN where a cell was not trained;
        its integers are floats for that. Two more variables: ``dropped_at``, the number
        of the rung at which each point was dropped, from 0, or −1; and ``rung_metric``,
        the means by which it was. The coordinate ``rung`` holds the segments.
        Attributes: ``share``, of the work of the whole plan; ``compile_seconds``,
        ``run_seconds``, ``layout``.

    Raises:
        ValueError: rungs, share or metric do not fit, there are fewer than two points,
            the layout does not fit the devices, or there are several processes.

    References:
        Jamieson & Talwalkar (2016), "Non-stochastic best arm identification and
        hyperparameter optimization", the Successive Halving algorithm; Li et al.
        (2018), "Hyperband", Algorithm 1, its inner loop. There a budget sets the rungs;
        here they are given.
    """
    _check(train, plan, rungs, keep)
    recorded = metric_shape(metric, train, plan, data) == (train.segments,)
    layout = default_layout(plan.size) if layout is None else layout
    race = _Race(plan, [*rungs, train.segments], keep, metric)
    started = time.perf_counter()
    study = prepare(train, plan, data, layout)
    compiling = time.perf_counter() - started
    legs: list[_Leg] = []
    report = _reporter(race, legs, progress)
    points, begin = np.arange(race.points), study.begin
    for first, last in pairwise([0, *race.stops]):
        if legs:
            points = _best(points, means(_metric(legs[-1], race), race.seeds), keep)
            began = time.perf_counter()
            study = _repacked(study, _design(plan, points), layout)
            compiling += time.perf_counter() - began
            states = _of_points(legs[-1], points, race.seeds)
            begin = partial(_resumed, study, first, states)
        finish = last == train.segments or not recorded
        legs.append(_leg(study, points, begin, last, report, finish=finish))
    report(0, {})
    result = labelled(plan, _flat(legs, race), record_steps)
    result = result.assign(_choices(legs, race)).assign_coords(rung=list(rungs))
    result.attrs |= {
        "share": _milestones(race)[-1][0] / (plan.size * train.segments),
        "compile_seconds": compiling,
        "run_seconds": time.perf_counter() - started - compiling,
        "layout": str(layout._asdict()),
    }
    return result


def _leg(
    study: Study,
    points: Int[np.ndarray, " points"],
    begin: Callable[[int], Flight],
    last: int,
    report: Report,
    *,
    finish: bool,
) -> _Leg:
    """All chunks from where they begin to one segment; chunks follow the cells."""
    parts, first = [], 0
    for number in range(study.chunks):
        flight = begin(number)
        first = flight.segment
        while flight.segment < last:
            flight = study.advance(flight)
            report(len(study.cells(number)), flight.records[-1])
        curves = jax.tree.map(lambda *x: np.stack(x, 2), *flight.records)
        rows = partial(_rows, real=study.slots.real[number].ravel())
        states, curves = jax.tree.map(rows, (flight.states, curves))
        outcome = study.finish(flight) if finish else {}
        finals = {name: v for name, v in outcome.items() if name not in curves}
        parts.append((states, curves, finals))
    joined = jax.tree.map(lambda *x: _module(x[0]).concatenate(x), *parts)
    return _Leg(points, first, *joined)


def _rows(leaf: jax.Array | np.ndarray, real: np.ndarray) -> jax.Array | np.ndarray:
    """From blocks of cells to cells, copies left out; on the host, but for keys."""
    leaf = leaf if _module(leaf) is jnp else np.asarray(leaf)
    return leaf.reshape(-1, *leaf.shape[2:])[real]


def _module(leaf: jax.Array | np.ndarray) -> ModuleType:
    """Whose arrays hold a leaf: NumPy has no keys."""
    return jnp if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np


def _resumed(study: Study, segment: int, states: PyTree, number: int) -> Flight:
    """A chunk of cells that have trained before, each where its slot is."""
    cell = study.slots.cell[number]
    placed = spread(jax.tree.map(lambda leaf: leaf[cell], states), study.layout)
    return Flight(number, segment, placed, [])


def _of_points(leg: _Leg, points: Int[np.ndarray, " some"], seeds: int) -> PyTree:
    """The states of some of a leg's points."""
    row = np.flatnonzero(np.tile(np.isin(leg.points, points), seeds))
    return jax.tree.map(lambda leaf: leaf[row], leg.states)


def _design(plan: Plan, points: Int[np.ndarray, " points"]) -> Design:
    """Some points of a plan, as a list of points."""
    hypers = {n: values[points] for n, values in cells(plan).hypers.items()}
    return Design(plan.varies["seed"][1], MappingProxyType(hypers))


def _repacked(study: Study, design: Design, layout: Layout) -> Study:
    """A study of the survivors, with the same programs if they fill as many slots."""
    tight = _tight(layout, *design.shape)
    if tight.rounds == study.layout.rounds and tight[:2] == study.layout[:2]:
        flat = cells(design)
        return replace(study, flat=flat, slots=slots(flat.seed, study.layout))
    return prepare(study.training, design, study.data, tight)


def _tight(layout: Layout, seeds: int, points: int) -> Layout:
    """A layout as wide as another at most, without slots that nobody needs."""
    block = -(-points // -(-points // layout.block))  # even blocks: fewest copies
    blocks = seeds * -(-points // block)
    devices = min(layout.devices, blocks)
    rounds = min(layout.rounds, -(-blocks // devices))
    return Layout(devices, block, chunk=devices * block * rounds)


def _metric(leg: _Leg, race: _Race) -> np.ndarray:
    """The metric at the end of a leg, or its curve."""
    return (leg.curves if race.metric in leg.curves else leg.finals)[race.metric]


def _best(
    points: Int[np.ndarray, " points"], score: Float[np.ndarray, " points"], keep: float
) -> Int[np.ndarray, " best"]:
    """The points of the least scores, in the plan's order."""
    ranked = np.argsort(score, kind="stable")  # NumPy puts NaN last
    return np.sort(points[ranked[: _kept(len(points), keep)]])


def _kept(points: int, keep: float) -> int:
    return max(1, math.floor(points * keep + 1e-9))  # 98 · (1/49) < 2


def _milestones(race: _Race) -> list[tuple[int, int]]:
    """At each stop: the segments trained so far, by all cells; the cells that stop."""
    points, work, milestones = race.points, 0, []
    for first, last in pairwise([0, *race.stops]):
        work += race.seeds * points * (last - first)
        points = _kept(points, race.keep) if last < race.stops[-1] else 0
        milestones.append((work, race.plan.size - race.seeds * points))
    return milestones


def _reporter(
    race: _Race, legs: Sequence[_Leg], progress: Callable[[Progress], None]
) -> Report:
    """Tell what is known after so many more cells have trained one more segment."""
    milestones, started, done = _milestones(race), time.perf_counter(), 0

    def report(cells: int, record: Outcomes) -> None:
        nonlocal done
        done += cells
        losses = np.asarray(record.get("loss", np.nan))
        finite = losses[np.isfinite(losses)]
        news = Progress(
            cells_done=max([n for work, n in milestones if done >= work], default=0),
            cells=race.plan.size,
            seconds=time.perf_counter() - started,
            diverged=_diverged(legs, race),
            share=done / milestones[-1][0],
            best_loss=float(finite.min()) if finite.size else math.nan,
        )
        progress(news)

    return report


def _diverged(legs: Sequence[_Leg], race: _Race) -> int:
    """How many cells were dropped when their metric was not finite."""
    dropped = [
        by_seed(_metric(leg, race), race.seeds)[:, _dropped(leg, after)]
        for leg, after in pairwise(legs)
    ]
    return sum(int(np.sum(~np.isfinite(values))) for values in dropped)


def _dropped(leg: _Leg, after: _Leg) -> Bool[np.ndarray, " points"]:
    return ~np.isin(leg.points, after.points)


def _flat(legs: Sequence[_Leg], race: _Race) -> dict[str, np.ndarray]:
    """Curves of all legs and finals of the last; NaN where a cell was not trained."""
    number = np.arange(race.plan.size).reshape(race.seeds, -1)
    flat: dict[str, np.ndarray] = {}
    for leg in legs:
        cell = number[:, leg.points].ravel()
        for name, values in leg.curves.items():
            flat.setdefault(name, _unknown(values, race.plan.size, race.stops[-1]))
            flat[name][cell, leg.first : leg.first + values.shape[1]] = values
    for name, values in legs[-1].finals.items():
        flat[name] = _unknown(values, race.plan.size)
        flat[name][number[:, legs[-1].points].ravel()] = values
    return flat


def _unknown(like: np.ndarray, *lengths: int) -> np.ndarray:
    """NaN in the place of values, with as many cells and segments as there are."""
    real = jnp.issubdtype(like.dtype, jnp.floating)
    shape = (*lengths, *like.shape[len(lengths) :])
    return np.full(shape, np.nan, like.dtype if real else np.float64)


def _choices(legs: Sequence[_Leg], race: _Race) -> dict[str, Any]:
    """When each point was dropped, and by what."""
    dropped_at = np.full(race.points, -1)
    at_rung = np.full((len(legs) - 1, race.points), np.nan)
    for rung, (leg, after) in enumerate(pairwise(legs)):
        dropped_at[leg.points[_dropped(leg, after)]] = rung
        at_rung[rung, leg.points] = means(_metric(leg, race), race.seeds)
    dims, shape = race.plan.dims[1:], race.plan.shape[1:]
    return {
        "dropped_at": (dims, dropped_at.reshape(shape)),
        "rung_metric": (("rung", *dims), at_rung.reshape(-1, *shape)),
    }


def _check(train: Training, plan: Plan, rungs: Sequence[int], keep: float) -> None:
    if jax.process_count() > 1:
        raise ValueError(
            f"There are {jax.process_count()} processes; successive halving needs all "
            "of its cells in one. Start one."
        )
    if plan.size // plan.shape[0] < 2:
        raise ValueError("There is one point, so that none can be dropped; give more.")
    if not 0 < keep < 1:
        raise ValueError(f"keep is {keep}; give a share in (0, 1), such as 1/2 or 1/3.")
    stops = [0, *rungs, train.segments]
    if not rungs or any(last <= first for first, last in pairwise(stops)):
        raise ValueError(
            f"rungs is {list(rungs)}; give numbers of segments, increasing, from 1 to "
            f"{train.segments - 1}: the training has {train.segments} segments, one "
            "for each record."
        )
