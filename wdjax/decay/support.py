r"""Which optimizers of Optax carry which pull: three lists, a row per place.

Two checks decide on a list, on a problem with a known answer:

* in front (`coupled`): with :math:`\nabla f + \lambda_2\theta` for its gradient, the
  optimizer reaches the minimum of :math:`f + \tfrac{\lambda_2}{2}\|\theta\|^2`, for a
  quadratic the ridge solution :math:`(H + \lambda_2 I)^{-1} H\theta^*`;
* behind (`decoupled`): weights without a gradient stay where they are; decayed, they
  keep :math:`(1 - \delta)^T`, in the parameters that are evaluated, and no other weight
  takes notice.

The rows are of Optax 0.2.8, with a decay of their own switched off. Names are of
``optax``, or ``contrib.`` for ``optax.contrib``. A wrapper is judged around SGD; of
what merely passes on (``chain``, ``partition``, ``masked``, …) the contents count.
"""

from typing import Any, NamedTuple

import jax


class Sound(NamedTuple):
    """An optimizer that passes the check at a place.

    Attributes:
        name: in ``optax``.
        place: `coupled` (in front) or `decoupled` (behind).
    """

    name: str
    place: str


class Conditional(NamedTuple):
    """An optimizer that passes with a proviso.

    Attributes:
        name: as in :class:`Sound`.
        place: as in :class:`Sound`.
        condition: what its user must do, or what happens beside the decay.
    """

    name: str
    place: str
    condition: str


class Refused(NamedTuple):
    """An optimizer that fails.

    Attributes:
        name: as in :class:`Sound`.
        place: as in :class:`Sound`.
        state: the class of its state, by name: a wrapper sees nothing else of it.
        reason: what goes wrong.
        remedy: what to do instead.
        holding: a field of the state that must not be ``None`` for the row to apply.
        package: that the name and the class of the state are of.
    """

    name: str
    place: str
    state: str
    reason: str
    remedy: str
    holding: str = ""
    package: str = "optax"


CALLERS = {"coupled": "with_l2", "decoupled": "with_weight_decay"}
"""The function that puts any optimizer behind, or in front of, the pull."""

_BOTH = (
    "adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw",
    "adamw", "adan", "amsgrad", "lamb", "lars", "lion", "nadam", "nadamw", "novograd",
    "optimistic_adam", "optimistic_adam_v2", "optimistic_gradient_descent", "radam",
    "rmsprop", "rprop", "sgd", "sign_sgd", "signum", "sm3", "contrib.acprop",
    "contrib.ademamix", "contrib.adopt", "contrib.dadapt_adamw", "contrib.galore",
    "contrib.muon", "contrib.prodigy", "contrib.simplified_ademamix", "contrib.sophia",
    "contrib.split_real_and_imaginary",
)  # fmt: skip

_IN_FRONT = (
    "apply_every", "apply_if_finite", "conditionally_mask", "fromage", "MultiSteps",
    "noisy_sgd", "yogi", "contrib.cocob", "contrib.dog", "contrib.dowg",
    "contrib.madgrad", "contrib.mechanize", "contrib.sam", "contrib.schedule_free",
    "contrib.schedule_free_adamw", "contrib.schedule_free_sgd",
)  # fmt: skip

_BEHIND = (
    "polyak_sgd", "contrib.momo", "contrib.momo_adam", "contrib.reduce_on_plateau",
    "contrib.sam(opaque_mode=True)", "scale_by_backtracking_linesearch",
)  # fmt: skip

SOUND = (
    *(Sound(name, place) for name in _BOTH for place in CALLERS),
    *(Sound(name, "coupled") for name in _IN_FRONT),
    *(Sound(name, "decoupled") for name in _BEHIND),
)
"""Passed as they are; methods that step by a sign need an annealed learning rate."""

_VALUE = "if `value` is that of loss + wdjax.l2_penalty"
_SEARCH = (
    "if `value`, `grad` and `value_fn` are those of loss + wdjax.l2_penalty, and the "
    "first argument of update is the bare gradient"
)

CONDITIONAL = (
    Conditional("polyak_sgd", "coupled", f"{_VALUE}, and f_min a bound of the sum"),
    Conditional("contrib.momo", "coupled", f"{_VALUE}, and lower_bound one of the sum"),
    Conditional(
        "contrib.momo_adam", "coupled", f"{_VALUE}, and lower_bound one of the sum"
    ),
    Conditional("contrib.reduce_on_plateau", "coupled", _VALUE),
    Conditional("lbfgs", "coupled", _SEARCH),
    Conditional("scale_by_backtracking_linesearch", "coupled", _SEARCH),
    Conditional("scale_by_zoom_linesearch", "coupled", _SEARCH),
    Conditional(
        "contrib.sam(opaque_mode=True)",
        "coupled",
        "if `grad_fn` is the gradient of loss + wdjax.l2_penalty",
    ),
    Conditional(
        "contrib.dpsgd",
        "coupled",
        "if no example is clipped; else chain wdjax.add_l2 behind optax.contrib."
        "differentially_private_aggregate",
    ),
    Conditional(
        "fromage",
        "decoupled",
        "beside its own factor 1/√(1 + α²), which cannot be switched off",
    ),
    Conditional("noisy_sgd", "decoupled", "beside its noise, which has mean 0"),
    Conditional("contrib.dpsgd", "decoupled", "beside its noise, which has mean 0"),
    Conditional(
        "yogi",
        "decoupled",
        "beside a drift of its own: its first moment starts at 1e-6, not at 0",
    ),
)
"""Passed with a proviso, which nobody can check at ``init``."""

_INSIDE = "put the decay inside: optax."
_ANCHORED = "it rebuilds the weights from where they started and so undoes the decay"
_DISTANCE = "its step grows with the way from the start, the decay's own way included"
_SKIPS = "the decay acts in every call, also in those that take no step"
_STALE = "it keeps value and gradient of the point before the decay for the next step"
_FRONT = "put the pull in front: wdjax.with_l2"

REFUSED = (
    Refused(
        "lookahead",
        "coupled",
        "LookaheadState",
        "it takes gradients of its fast weights only, but holds slow ones too",
        "put the penalty inside: optax.lookahead(wdjax.with_l2(…), …)",
    ),
    Refused(
        "lookahead",
        "decoupled",
        "LookaheadState",
        "it decays the slow weights in every step but moves them only at a "
        "synchronisation",
        f"{_INSIDE}lookahead(wdjax.sgdw(…), …)",
    ),
    *(
        Refused(
            name,
            "decoupled",
            "ScheduleFreeState",
            "the decay moves y but not z, and the weights to evaluate keep 59 % where "
            "37 % is right",
            f"{_INSIDE}contrib.schedule_free(wdjax.sgdw(…), …), or in front: "
            "wdjax.with_l2",
        )
        for name in (
            "contrib.schedule_free",
            "contrib.schedule_free_adamw",
            "contrib.schedule_free_sgd",
        )
    ),
    Refused(
        "contrib.sam",
        "decoupled",
        "SAMState",
        "it takes back what was done to the weights since the last synchronisation, "
        "every other decay included",
        f"{_INSIDE}contrib.sam(wdjax.sgdw(…), …)",
        holding="cache",
    ),
    Refused("contrib.cocob", "decoupled", "COCOBState", _ANCHORED, _FRONT),
    Refused("contrib.madgrad", "decoupled", "MadgradState", _ANCHORED, _FRONT),
    Refused(
        "contrib.mechanize",
        "decoupled",
        "MechanicState",
        "it rescales all that moved the weights since the start, the decay included",
        _FRONT,
    ),
    Refused("contrib.dog", "decoupled", "DoGState", _DISTANCE, _FRONT),
    Refused("contrib.dowg", "decoupled", "DoWGState", _DISTANCE, _FRONT),
    Refused(
        "lbfgs",
        "decoupled",
        "ScaleByLBFGSState",
        "it takes the decay for steps of its own and moves weights without a gradient",
        "add wdjax.l2_penalty to the loss",
    ),
    Refused(
        "scale_by_zoom_linesearch",
        "decoupled",
        "ScaleByZoomLinesearchState",
        _STALE,
        "add wdjax.l2_penalty to the loss",
    ),
    Refused(
        "scale_by_backtracking_linesearch(store_grad=True)",
        "decoupled",
        "ScaleByBacktrackingLinesearchState",
        _STALE,
        "add wdjax.l2_penalty to the loss, or leave store_grad=False",
        holding="grad",
    ),
    Refused(
        "MultiSteps",
        "decoupled",
        "MultiStepsState",
        _SKIPS,
        f"{_INSIDE}MultiSteps(wdjax.sgdw(…), …)",
    ),
    Refused(
        "apply_every",
        "decoupled",
        "ApplyEvery",
        _SKIPS,
        "accumulate with optax.MultiSteps(wdjax.sgdw(…), …)",
    ),
    Refused(
        "apply_if_finite",
        "decoupled",
        "ApplyIfFiniteState",
        _SKIPS,
        f"{_INSIDE}apply_if_finite(wdjax.sgdw(…), …)",
    ),
    Refused(
        "conditionally_mask",
        "decoupled",
        "ConditionallyMaskState",
        _SKIPS,
        f"{_INSIDE}conditionally_mask(wdjax.sgdw(…), …)",
    ),
)
"""Failed, and recognised at ``init``; chaining the pull by hand is not refused."""

PRECISION = Refused(
    "precision",
    "decoupled",
    "PrecisionState",
    "its update lands on the narrow weight exactly, and what is added behind it rounds "
    "away or is led back",
    "put the decay inside: wdjax.precision.with_master_weights(wdjax.adamw(…))",
    package="wdjax",
)
"""Our own wrappers, which no decay can follow either."""


def refuse(place: str, state: Any) -> None:
    """Refuse a pull around an optimizer that cannot carry it there.

    Args:
        place: where the pull sits: `coupled` or `decoupled`.
        state: the optimizer's initial state, whatever wraps it.

    Raises:
        ValueError: a row of :data:`REFUSED` applies; with its reason and remedy.
    """
    rows = [row for row in (*REFUSED, PRECISION) if row.place == place]
    nodes = jax.tree.leaves(state, is_leaf=lambda node: _row(rows, node) is not None)
    for row in (_row(rows, node) for node in nodes):
        if row is not None:
            raise ValueError(
                f"{CALLERS[place]} cannot go around {_called(row)}: {row.reason}. "
                f"Instead, {row.remedy}."
            )


def as_markdown() -> str:
    """The three lists as one table; optimizers of one verdict share a row."""
    verdicts: dict[str, dict[str, str]] = {}
    for row in SOUND:
        verdicts.setdefault(row.name, {})[row.place] = "sound"
    for row in CONDITIONAL:
        verdicts.setdefault(row.name, {})[row.place] = f"sound {row.condition}"
    for row in REFUSED:
        cell = f"refused: {row.reason}; {row.remedy}"
        verdicts.setdefault(row.name, {})[row.place] = cell
    names: dict[tuple[str, ...], list[str]] = {}
    for name, cells in verdicts.items():
        both = tuple(cells.get(place, "—") for place in CALLERS)
        names.setdefault(both, []).append(f"`{name}`")
    head = ["optimizer", *(f"`{caller}`" for caller in CALLERS.values())]
    body = [[", ".join(group), *cells] for cells, group in names.items()]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(rows: list[Refused], node: Any) -> Refused | None:
    """The first row that recognises a node of a state, if one does."""
    kind = type(node)
    known = (kind.__module__.partition(".")[0], kind.__name__)
    for row in rows:
        if (row.package, row.state) == known and _holds(node, row.holding):
            return row
    return None


def _holds(node: Any, field: str) -> bool:
    return not field or getattr(node, field, None) is not None


def _called(row: Refused) -> str:
    """All names of a row's state: it does not tell a wrapper from its shorthands."""
    return ", ".join(
        f"{other.package}.{other.name}"
        for other in (*REFUSED, PRECISION)
        if (other.place, other.state) == (row.place, row.state)
    )
