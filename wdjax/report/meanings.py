"""What a result's λ means, and the same λ in every convention."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import xarray as xr

from wdjax.decay import convention
from wdjax.inspect import measures
from wdjax.inspect.conversion import Converted, convert
from wdjax.inspect.meanings import Meaning, meaning
from wdjax.inspect.measures import Measure
from wdjax.report.folder import json_object
from wdjax.theory import scale_invariant
from wdjax.theory.scale_invariant import Symmetry

METHODS = {
    "SGD+L2": "wdjax:sgd_l2",
    "SGDW": "composer:DecoupledSGDW",
    "Adam+L2": "wdjax:adam_l2",
    "AdamW": "wdjax:adamw",
}
"""What λ means in the panels of the experiments, by their attribute ``method``."""

AXES = {"decay": None, "weight_decay": None, "l2": "l2", "decay_rate": "decay_rate"}
"""Names of the decay's axis, and what each says of its meaning."""

_OPTAX = measures.under(convention.OPTAX)
_PAPER = measures.under(convention.PAPER)

SYMMETRIES: Mapping[tuple[str, Measure], Symmetry] = {
    ("SGD", measures.L2): scale_invariant.SGD_L2,
    ("SGD", _OPTAX): scale_invariant.SGDW_OPTAX,
    ("SGD", _PAPER): scale_invariant.SGDW_PAPER,
    ("Adam", measures.L2): scale_invariant.ADAM_L2,
    ("Adam", _OPTAX): scale_invariant.ADAMW_OPTAX,
    ("Adam", _PAPER): scale_invariant.ADAMW_PAPER,
    ("Lion", measures.L2): scale_invariant.SIGN_L2,
    ("Lion", _OPTAX): scale_invariant.SIGN_OPTAX,
    ("Lion", _PAPER): scale_invariant.SIGN_PAPER,
}
"""By optimizer and by what λ says: how its runs can be scaled."""

TARGETS = {
    "decay_rate": "δ, removed in a step",
    "optax": "Optax, PyTorch: δ = λα",
    "paper": "paper: δ = λη",
    "constant": "constant: δ = λ",
    "corrected": "corrected: δ = λα²/α_max",
    "squared": "squared: δ = λα²",
    "l2": "L2: ½λ‖θ‖² in the loss",
    "keras:L2": "Keras L2: λ‖θ‖² in the loss",
    "timescale:steps": "timescale 1/δ, steps",
}
"""The meanings that a cell's λ is shown in, and their captions."""


class Sense(NamedTuple):
    """What λ means in one result.

    Attributes:
        row: of :data:`wdjax.inspect.MEANINGS`; None where the result does not say.
        momentum: SGD's β, which a conversion between its two places needs.
    """

    row: Meaning | None
    momentum: float | None

    @property
    def caption(self) -> str:
        """What λ says, as in :data:`TARGETS` where it is one of them."""
        for target, caption in TARGETS.items():
            if self.row is not None and meaning(target).measure is self.row.measure:
                return caption
        return self.formula

    @property
    def formula(self) -> str:
        """What λ says, in a line."""
        return "meaning not recorded" if self.row is None else self.row.measure.formula


def sense(result: xr.Dataset, axis: str, otherwise: str | None = None) -> Sense:
    """What a result says of its λ.

    Args:
        result: its attribute ``meaning`` comes first, then ``method``.
        axis: the name of the decay's axis, one of :data:`AXES`.
        otherwise: the meaning if the result does not say.

    Returns:
        The meaning, and what a conversion needs beside it.

    Raises:
        ValueError: a meaning is unknown.
    """
    name = (
        result.attrs.get("meaning")
        or METHODS.get(str(result.attrs.get("method")))
        or AXES[axis]
        or otherwise
    )
    momentum = configuration(result).get("momentum")
    if not (isinstance(momentum, int | float) and 0 <= momentum < 1):
        momentum = None
    return Sense(meaning(str(name)) if name else None, momentum)


def configuration(result: xr.Dataset) -> dict[str, Any]:
    """The settings of a run; none where they were not saved or cannot be read."""
    return json_object(result.attrs.get("configuration"))


def in_every_convention(
    weight_decay: float, learning_rate: float, what: Sense
) -> dict[str, Converted]:
    """The same decay under the other :data:`TARGETS`, at the peak of a schedule.

    Args:
        weight_decay: λ ≥ 0, as ``what`` says.
        learning_rate: α > 0, the peak.
        what: from :func:`sense`.

    Returns:
        The values by caption, without those that do not exist: an L2 penalty behind
        Adam is no decoupled decay, and no decay has no timescale.
    """
    found = {}
    for target, caption in TARGETS.items():
        value = _converted(weight_decay, learning_rate, what, target)
        if value is not None and caption != what.caption:
            found[caption] = value
    return found


def _converted(
    weight_decay: float, learning_rate: float, what: Sense, target: str
) -> Converted | None:
    if what.row is None:
        return None
    settings = {"learning_rate": learning_rate, "momentum": what.momentum}
    try:
        return convert(weight_decay, what.row, target, **settings)
    except ValueError:
        return None


def predicted_slope(what: Sense) -> float | None:
    """Of the ridge, on a scale-invariant network; None where no theory says."""
    symmetry = what.row and SYMMETRIES.get((what.row.base, what.row.measure))
    return scale_invariant.predicted_slope(symmetry) if symmetry else None
