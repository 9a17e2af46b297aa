"""Optuna proposes points in batches; each batch trains as one design."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int, PyTree

from wdjax.sweep.cells import Design, cells, points
from wdjax.sweep.engine import prepare
from wdjax.sweep.labels import labelled
from wdjax.sweep.layout import Layout, default_layout
from wdjax.sweep.metric import means, metric_shape
from wdjax.sweep.ranges import LogUniform, Range, check_ranges
from wdjax.sweep.study import Outcomes, Study
from wdjax.sweep.training import Train

if TYPE_CHECKING:
    import optuna  # pyright: ignore[reportMissingImports]: an extra


def search(
    train: Train,
    ranges: Mapping[str, Range],
    data: PyTree,
    *,
    seed: Iterable[int],
    batch: int,
    rounds: int,
    metric: str = "validation_loss",
    study: "optuna.Study | None" = None,
    sampler_seed: int = 0,
    layout: Layout | None = None,
    record_steps: Int[np.ndarray, " records"] | None = None,
    progress: Callable[[int, "optuna.Study"], None] = lambda done, study: None,
) -> "tuple[xr.Dataset, optuna.Study]":
    """Ask Optuna for a batch of points, train them, tell it the results; again.

    The programs are compiled once, for all rounds. Every point is trained from every
    seed, and what is told is the metric's mean over them. A point of which one seed
    diverged is told as failed. Trials of a round that does not end, by an error or by
    Ctrl-C, are told as failed too, so that a study with a storage of its own can go on
    with another call.

    Args:
        train: see :func:`~wdjax.sweep.run`.
        ranges: where each hyper-parameter is looked for, by name.
        data: see :func:`~wdjax.sweep.run`.
        seed: as for :func:`~wdjax.sweep.grid`.
        batch: points in a round; they do not know of each other's results.
        rounds: how many.
        metric: what is told: a number of the training's outcome, or the last of a
            curve.
        study: one of Optuna's, with its sampler, storage and direction; by default a
            new one in memory that minimises with TPE, and takes the points in flight
            for bad ones (``constant_liar``) so that those of a batch differ.
        sampler_seed: of the default study's sampler.
        layout: see :func:`~wdjax.sweep.run`; by default one that suits the backend.
        record_steps: see :func:`~wdjax.sweep.run`.
        progress: called after each round, with how many are done, and the study.

    Returns:
        The data set of :func:`~wdjax.sweep.run` over a design of all points, with the
        further coordinates ``trial`` (Optuna's number) and ``round`` along ``point``;
        and the study.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: a range is bad, the metric is not known, or there is no round.

    References:
        Akiba et al. (2019), "Optuna: a next-generation hyperparameter optimization
        framework"; Bergstra et al. (2011), "Algorithms for hyper-parameter
        optimization", section 4, for TPE; Ginsbourger et al. (2010), "Kriging is
        well-suited to parallelize optimization", for the constant liar.
    """
    optuna = _optuna()
    check_ranges(ranges)
    if batch < 1 or rounds < 1:
        raise ValueError(
            f"batch is {batch} and rounds is {rounds}; both must be at least 1."
        )
    seeds, space = tuple(seed), {n: _distribution(optuna, r) for n, r in ranges.items()}
    plan = points(seeds, **{name: [r.low] * batch for name, r in ranges.items()})
    metric_shape(metric, train, plan, data)
    ours = _minimising(optuna, sampler_seed) if study is None else study
    layout = default_layout(plan.size) if layout is None else layout
    prepared = prepare(train, plan, data, layout)
    trials, outcomes = [], []
    for done in range(1, rounds + 1):
        asked = [ours.ask(space) for _ in range(batch)]
        trials += asked
        try:
            flat = cells(_design(seeds, asked))
            outcomes.append(_trained(replace(prepared, flat=flat)))
            told = means(outcomes[-1][metric], len(seeds))
        except BaseException:
            _tell(optuna, ours, asked, np.full(batch, np.nan))
            raise
        _tell(optuna, ours, asked, told)
        progress(done, ours)
    result = labelled(_design(seeds, trials), _joined(outcomes, batch), record_steps)
    number = np.array([trial.number for trial in trials])
    part = np.repeat(np.arange(rounds), batch)
    labels = {"trial": ("point", number), "round": ("point", part)}
    return result.assign_coords(labels), ours


def _design(seeds: Iterable[int], trials: "Sequence[optuna.Trial]") -> Design:
    names = trials[0].params
    return points(seeds, **{n: [trial.params[n] for trial in trials] for n in names})


def _trained(study: Study) -> Outcomes:
    """All of its cells, from the first segment to the last, in their order."""
    parts = []
    for number in range(study.chunks):
        flight = study.begin(number)
        while flight.segment < study.training.segments:
            flight = study.advance(flight)
        parts.append(study.finish(flight))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _tell(
    optuna: ModuleType,
    study: "optuna.Study",
    trials: "Sequence[optuna.Trial]",
    values: Float[np.ndarray, " trials"],
) -> None:
    for trial, value in zip(trials, values, strict=True):
        if np.isfinite(value):
            study.tell(trial, float(value))
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _joined(outcomes: Sequence[Outcomes], batch: int) -> Outcomes:
    """Rounds of cells, a seed's after another's, as cells of one design."""

    def join(*rounds: np.ndarray) -> np.ndarray:
        by_seed = [values.reshape(-1, batch, *values.shape[1:]) for values in rounds]
        return np.concatenate(by_seed, axis=1).reshape(-1, *rounds[0].shape[1:])

    return jax.tree.map(join, *outcomes)


def _distribution(optuna: ModuleType, given: Range) -> Any:
    log = isinstance(given, LogUniform)
    return optuna.distributions.FloatDistribution(given.low, given.high, log=log)


def _minimising(optuna: ModuleType, seed: int) -> "optuna.Study":
    with warnings.catch_warnings():  # before Optuna 5, the liar is experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.create_study(sampler=sampler)


def _optuna() -> ModuleType:
    try:
        import optuna  # pyright: ignore[reportMissingImports]: an extra
    except ModuleNotFoundError as error:
        raise ImportError(
            "wdjax.sweep.search asks Optuna, which is not installed: "
            'run `pip install "wdjax[search]"`.'
        ) from error
    return optuna
