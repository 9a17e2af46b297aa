"""What an optimizer does after more updates than can be run: its counters set forward.

Counters are the integers of its state that grow as it runs, and never fall: so a
schedule is elsewhere, and the mini-steps of an accumulation are not.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wdjax.inspect.auditing.kinds import FRACTIONS
from wdjax.inspect.auditing.laboratory import Box, Leaves
from wdjax.inspect.auditing.measure import along
from wdjax.inspect.auditing.report import Audit
from wdjax.inspect.auditing.trial import Trial, zeros

# Multiples of the number of measured updates, so that what repeats in it is in step.
COUNTS = (200, 1_000, 10_000, 100_000)


def rates_later(first: Trial) -> Mapping[int, np.ndarray]:
    """δ of each leaf at its largest, by the number to which the counters are set.

    Args:
        first: the optimizer, in its first updates.

    Returns:
        Nothing for a box without counters, which is later what it is now.
    """
    which = _counters(first.states)
    if not any(which):
        return {}
    return {
        count: _rates(
            Trial(_set(first.box, which, count), first.path), first.directions
        )
        for count in COUNTS
    }


def told_later(found: Audit, later: Mapping[int, np.ndarray], least: float) -> Audit:
    """With a sentence where δ becomes another; what starts to decay is unknown.

    Args:
        found: of the first updates.
        later: by the number to which the counters were set.
        least: what counts as a δ.
    """
    counts = ", ".join(map(str, later))
    leaves = dict(found.per_leaf)
    reasons = list(found.reasons)
    for (path, leaf), deltas in zip(
        found.per_leaf.items(), np.array(list(later.values())).T, strict=True
    ):
        shown = ", ".join(f"{delta + 0.0:.3g}" for delta in deltas)
        told = f"with its counters at {counts}: δ_t = {shown}"
        if leaf.kind == "none" and np.abs(deltas).max() > least:
            leaves[path] = replace(leaf, kind="unknown", reasons=(*leaf.reasons, told))
            reasons.append(f"{path} is left alone at first, but not later")
        elif leaf.decay_rate is not None and leaf.kind in FRACTIONS:
            gaps = np.abs(deltas - leaf.decay_rate)
            if gaps.max() > 1e-3 * abs(leaf.decay_rate):
                leaves[path] = replace(leaf, reasons=(*leaf.reasons, told))
                if told not in reasons:
                    reasons.append(told)
    return replace(found, per_leaf=leaves, reasons=tuple(reasons))


def ahead(first: Trial, count: int) -> Trial:
    """The same with the box's counters set to a number; as it is for 0."""
    if not count:
        return first
    return Trial(_set(first.box, _counters(first.states), count), first.path)


def _set(box: Box, which: list[bool], count: int) -> Box:
    def init(theta: Any) -> Any:
        leaves, structure = jax.tree.flatten(box.init(theta))
        return structure.unflatten(
            [
                jnp.full_like(leaf, count) if counts else leaf
                for leaf, counts in zip(leaves, which, strict=True)
            ]
        )

    return box._replace(init=init)


def _rates(trial: Trial, v: list[Leaves]) -> np.ndarray:
    still = zeros(trial.path.start)
    found = np.array(
        [
            along(trial.derivatives_now(t, along_v, still), along_v)
            for t, along_v in enumerate(v)
        ]
    )
    return found[np.argmax(np.abs(found), axis=0), np.arange(len(still))]


def _counters(states: list[Any]) -> list[bool]:
    """Which leaves of a state are integers that grow from step to step."""
    runs = zip(*map(jax.tree.leaves, states), strict=True)
    return [_counts(run) for run in runs]


def _counts(run: tuple[Any, ...]) -> bool:
    if jnp.ndim(run[0]) or not jnp.issubdtype(jnp.result_type(run[0]), jnp.integer):
        return False
    steps = np.diff(np.array(run, int))
    return bool((steps >= 0).all() and (steps > 0).any())
