"""Which choices go together: refused combinations, and two decays on one leaf."""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import foreign, ledger, support
from wdjax.decay import gate as gate_
from wdjax.decay import pull as pull_
from wdjax.decay import target as target_
from wdjax.decay import where as where_
from wdjax.decay.gate import Always, Cautious, Gate
from wdjax.decay.pull import Proximal, Pull, Quadratic
from wdjax.decay.target import Target

Place: TypeAlias = Literal["coupled", "decoupled", "after", "proximal"]
Leaves: TypeAlias = Mapping[str, Any]

IN_FRONT = "add_l2"
FOREIGN = "weight_decay"
AGAIN = "again"
NOTED = (FOREIGN, AGAIN)
"""Entries of the ledger that :func:`checked` makes: what decays inside, and again."""

NORMS = ("hold_norm", "constrain_norm")
"""Pulls to a norm: no decay at a rate."""


class DecayWarning(UserWarning):
    """An optimizer decays in a way that its user hardly meant."""


class Axes(NamedTuple):
    """The choices that are independent of the place and the rate."""

    pull: Pull
    target: Target
    gate: Gate
    where: where_.Where


class Refused(NamedTuple):
    """A combination without sense.

    Attributes:
        applies: whether ``(place, axes)`` is it.
        combination: in words, for the table.
        reason: why, and what to do instead.
    """

    applies: Callable[[str, Axes], bool]
    combination: str
    reason: str


REFUSED: tuple[Refused, ...] = (
    Refused(
        lambda place, axes: place == "proximal" and not isinstance(axes.pull, Proximal),
        "the proximal place with a pull that states no shrinkage",
        "its proximal point has no closed form. Use decay_weights or "
        "decay_weights_after, or a convex pull (quadratic, l1, p_norm, elastic_net).",
    ),
    Refused(
        lambda place, axes: place == "coupled" and isinstance(axes.gate, Cautious),
        "a cautious gate in front of the optimizer",
        "there is no step yet to compare the pull with, only a gradient. Use "
        "decay_weights, last in the chain.",
    ),
    Refused(
        lambda place, axes: (
            getattr(axes.target, "radial", False)
            and not isinstance(axes.pull, Quadratic)
        ),
        "a target norm with a pull that is not quadratic",
        "a norm is approached along the ray, and a penalty of single entries would "
        "turn the weights instead. Use pull=wdjax.pull.quadratic.",
    ),
)
"""Every refused combination, a row each; :func:`check_leaves` has one more."""


def axes(
    place: Place, pull: Pull, target: Target, gate: Gate, where: where_.Where
) -> Axes:
    """The choices as one value, if they are choices and make sense together.

    Raises:
        ValueError: a choice is none, or the combination is in :data:`REFUSED`.
    """
    _check_kind(pull_, "pull", pull, Pull)
    _check_kind(target_, "target", target, Target)
    _check_kind(gate_, "gate", gate, Gate)
    chosen = Axes(pull, target, gate, where)
    for row in REFUSED:
        if row.applies(place, chosen):
            raise ValueError(f"{row.combination}: {row.reason}")
    return chosen


def check_leaves(axes: Axes, params: PyTree) -> None:
    """Refuse complex leaves, unless pulled by the quadratic and always.

    Absolute values, signs and their comparison are written for real entries, and a
    complex entry's two parts are none that a penalty of its modulus would see apart.

    Raises:
        ValueError: naming the first such leaf that is pulled.
    """
    if isinstance(axes.pull, Quadratic) and isinstance(axes.gate, Always):
        return
    multipliers = where_.resolve(axes.where, params)
    pulled = (
        leaf
        for leaf, multiplier in zip(jax.tree.leaves(params), multipliers, strict=True)
        if not where_.is_zero(multiplier)
    )
    for path, leaf in zip(where_.pulled(axes.where, params), pulled, strict=True):
        if jnp.iscomplexobj(leaf):
            raise ValueError(
                f"leaf {path!r} is complex, and {axes.pull} with {axes.gate} is for "
                "real entries. Use pull=wdjax.pull.quadratic with "
                "gate=wdjax.gate.always, keep the leaf out with where=, or wrap the "
                "optimizer in optax.contrib.split_real_and_imaginary."
            )


_asking: ContextVar[bool] = ContextVar("asking", default=False)


def checked(
    optimizer: optax.GradientTransformationExtraArgs,
    around: optax.GradientTransformation,
    *,
    place: Place,
    strict: bool,
) -> optax.GradientTransformationExtraArgs:
    """Let ``init`` warn where a leaf is both penalised and decayed, or decayed twice.

    Of several around one another the outermost warns, once, for all of them.

    Args:
        optimizer: the chain to be used.
        around: what it was put around, whose own decay (that of ``optax.adamw``, say)
            counts beside the pulls of this package.
        place: where it was put.
        strict: raise, rather than warn.

    Raises:
        ValueError: from ``init``, under ``strict``.
    """

    def init(params: PyTree) -> PyTree:
        outermost, token = not _asking.get(), _asking.set(True)
        try:
            with ledger.collect() as entries:
                state = optimizer.init(params)
                if entries:
                    inside = dict.fromkeys(foreign.decayed(around, params), True)
                    ledger.enter(ledger.Entry(FOREIGN, inside))
                    if inside and place == "decoupled":
                        ledger.enter(_again(inside, entries, around, params))
        finally:
            _asking.reset(token)
        support.refuse(place, state)
        for said in (_in_both_places(entries), _decayed_twice(entries)):
            if said and strict:
                raise ValueError(said)
            if said and outermost:
                warnings.warn(said, DecayWarning, stacklevel=2)
        return state

    return optax.GradientTransformationExtraArgs(init, optimizer.update)


def _in_both_places(entries: list[ledger.Entry]) -> str:
    """What to say of leaves that are pulled in front and behind; empty for none."""
    in_front = [e.leaves for e in entries if e.caller == IN_FRONT]
    behind = [e.leaves for e in entries if e.caller not in (IN_FRONT, AGAIN)]
    leaves = _listed(_met(behind, in_front))
    return leaves and (
        f"L2 and weight decay both act on {leaves}. Drop one of the two, or give them "
        "leaves of their own with where=."
    )


def _again(
    inside: Leaves,
    entries: list[ledger.Entry],
    around: optax.GradientTransformation,
    params: PyTree,
) -> ledger.Entry:
    """The leaves that were put under a decay though the optimizer inside has one."""

    def init(params: PyTree) -> PyTree:  # new each time: `eval_shape` caches
        return around.init(params)

    with ledger.closed(), ledger.collect() as theirs:
        jax.eval_shape(init, params)
    known = sum(entry.caller not in NOTED for entry in theirs)
    own = [entry.leaves for entry in entries if entry.caller not in NOTED][known:]
    return ledger.Entry(AGAIN, dict.fromkeys(_met(own, [inside]), True))


def _decayed_twice(entries: list[ledger.Entry]) -> str:
    """What to say of leaves that the optimizer inside decays already."""
    twice = [entry.leaves for entry in entries if entry.caller == AGAIN]
    leaves = _listed(dict.fromkeys(itertools.chain(*twice)))
    return leaves and (
        f"Two weight decays act on {leaves}: the optimizer inside has a weight_decay "
        "of its own. Set that to 0, or give them leaves of their own with where=."
    )


def _met(some: list[Leaves], others: list[Leaves]) -> list[str]:
    """The leaves that are in both, in the order of the first."""
    both = {
        path: None
        for mine, theirs in itertools.product(some, others)
        for path in mine
        if path in theirs and _meet(mine[path], theirs[path])
    }
    return list(both)


def _listed(leaves: Iterable[str]) -> str:
    """The first eight, and how many more."""
    found = list(leaves)
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return ", ".join(found[:8]) + more


def _meet(a: Any, b: Any) -> bool:
    """Whether two multipliers of a leaf may both differ from 0 in one entry."""
    if not (check.is_concrete(a) and check.is_concrete(b)):
        return True
    return bool(np.any(np.logical_and(a, b)))


def _check_kind(choices: ModuleType, name: str, value: Any, kind: type) -> None:
    """Refuse what is no choice: a name, a class, a maker that was not called."""
    if isinstance(value, kind) and not isinstance(value, type):
        return
    names = [
        key for key, known in vars(choices).items() if _offers(choices, known, kind)
    ]
    if isinstance(value, str):
        hint = f"its object, not its name. {check.nearest(value, names)}"
    elif isinstance(value, type):
        hint = f"an instance of it, or one of {', '.join(names)}."
    elif inspect.isfunction(value) and vars(choices).get(value.__name__) is value:
        hint = f"what it returns: wdjax.{name}.{value.__name__}(…)."
    else:
        hint = f"one of {', '.join(names)}, from wdjax.{name}."
    raise ValueError(f"{name} is {value!r}; give {hint}")


def _offers(choices: ModuleType, known: Any, kind: type) -> bool:
    """Whether a module's attribute is a choice, or a function that makes one."""
    if inspect.isfunction(known):
        public = not known.__name__.startswith("_")
        return public and known.__module__ == choices.__name__
    return isinstance(known, kind) and not isinstance(known, type)
