"""Which leaves are pulled, and where: by a rule, or by what an optimizer holds."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import PyTree

from wdjax.decay import where as where_
from wdjax.decay.combine import FOREIGN, IN_FRONT, NORMS, DecayWarning
from wdjax.decay.foreign import decayed, dependence
from wdjax.decay.ledger import collect
from wdjax.decay.precision import PrecisionState
from wdjax.decay.where.leaves import Leaf, leaves_of
from wdjax.decay.where.ranks import MinimumRank, Stacked, stack_counts

_EMBEDDING = re.compile(
    r"(?!.*patch)(.*_)?emb(ed(s|ding|dings|der)?)?(_?\d+)?"
    r"|wte|wpe|pos(ition)?s?|cls|.*_tokens?",
    re.IGNORECASE,
)
"""Names of embeddings, of positions too, and of learned tokens; no patches' kernel."""


class Pulls(NamedTuple):
    """The leaves that are pulled, by path, with their multipliers.

    Attributes:
        in_front: those that an L2 penalty pulls.
        behind: those that decay.
        twice: those that two decays pull, one of them of this package.
        frozen: those that decay and are not trained.
        named_zero: those that a rule leaves out by name, so that it is no miss.
        keeps_precision: whether narrow weights are kept from rounding.
    """

    in_front: Mapping[str, Any]
    behind: Mapping[str, Any]
    twice: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    named_zero: frozenset[str] = frozenset()
    keeps_precision: bool = False

    @property
    def all(self) -> dict[str, Any]:
        """Every leaf that is pulled."""
        return {**self.in_front, **self.behind}


def by_rule(where: where_.Where, params: PyTree, l2: bool, decay: bool) -> Pulls:
    """What one ``where=`` gives to L2, to decay, or to both.

    Raises:
        ValueError: the rule does not fit the parameters.
    """
    where_.resolve(where, params)  # says what `init` would say
    pulled = where_.pulled(where, params)
    named: set[str] = set()
    if isinstance(where, where_.Rule):
        leaves = leaves_of(params)
        assigned = zip(leaves, where.assign(leaves), strict=True)
        named = {leaf.path for leaf, a in assigned if a.named} - pulled.keys()
    return Pulls(
        pulled if l2 else {}, pulled if decay else {}, named_zero=frozenset(named)
    )


def by_optimizer(optimizer: optax.GradientTransformation, params: PyTree) -> Pulls:
    """What the pulls of an optimizer say of themselves; no array is made.

    Decays that are not of this package are told by
    :func:`wdjax.decay.foreign.decayed`: at most those leaves decay.

    Raises:
        ValueError: a rule in it does not fit the parameters.
    """

    def init(params: PyTree) -> PyTree:  # new each time: `eval_shape` caches
        return optimizer.init(params)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DecayWarning)  # a finding says it
        with collect() as entries:
            state = jax.eval_shape(init, params)
        foreign = decayed(optimizer, params)
        seen = dependence(optimizer, params)
    depends = dict(zip(where_.pulled(None, params), seen, strict=True))
    in_front: dict[str, Any] = {}
    behind: dict[str, Any] = dict.fromkeys(foreign, 1.0)
    times: Counter[str] = Counter()
    for entry in (entry for entry in entries if entry.caller not in NORMS):
        # What ends up in no update was undone behind the pull, by a freeze.
        acting = {p: m for p, m in entry.leaves.items() if depends[p].weight}
        (in_front if entry.caller == IN_FRONT else behind).update(acting)
        if entry.caller not in (IN_FRONT, FOREIGN):
            times.update(acting.keys())
    return Pulls(
        in_front,
        behind,
        twice=tuple(path for path, count in times.items() if count > 1),
        frozen=tuple(path for path in behind if not depends[path].gradient),
        keeps_precision=_holds(state, PrecisionState),
    )


def untrained(trainable: where_.Where, params: PyTree) -> set[str]:
    """The leaves that a rule of trained leaves leaves out."""
    return where_.pulled(None, params).keys() - where_.pulled(trainable, params).keys()


def strength(multiplier: Any) -> float:
    """The largest entry of a multiplier."""
    return float(np.max(np.asarray(multiplier, np.float64), initial=0.0))


def is_gain_or_bias(leaf: Leaf) -> bool:
    """Whether a name in a leaf's path is that of a normalisation, a gain or a bias."""
    (assigned,) = where_.except_norm_and_bias.assign([leaf])
    return assigned.multiplier == 0


def is_embedding(leaf: Leaf) -> bool:
    """Whether a leaf's name, or its module's, is that of an embedding.

    A ``kernel`` is a layer's, whatever that is called: it meets dense inputs.
    """
    *modules, last = leaf.path.split("/")
    if _EMBEDDING.fullmatch(last):
        return True
    inside = bool(modules) and _EMBEDDING.fullmatch(modules[-1]) is not None
    return inside and last != "kernel"


def ranks(where: where_.Where, leaves: list[Leaf]) -> dict[str, int]:
    """How many axes of each leaf are of one layer; those that a rule sets apart not."""
    counts = [0] * len(leaves)
    if isinstance(where, Stacked):
        counts = stack_counts(where.axes, leaves)
    pairs = zip(leaves, counts, strict=True)
    return {leaf.path: len(leaf.shape or ()) - count for leaf, count in pairs}


def goes_by_rank(where: where_.Where) -> bool:
    """Whether a rule counts a leaf's axes, those of stacked layers among them."""
    return isinstance(where, MinimumRank)


def _holds(state: PyTree, kind: type) -> bool:
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kind))
    return any(isinstance(node, kind) for node in nodes)
