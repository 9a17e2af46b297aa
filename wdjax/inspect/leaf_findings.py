r"""What is wrong with which leaves are pulled, and with their dtypes.

Rounding. With :math:`p` significant bits, the implicit one included, the gap below a
weight :math:`\theta` is between :math:`2^{-p}|\theta|` and :math:`2^{1-p}|\theta|`, and
a change of at most half of it rounds back to :math:`\theta` (at a tie, to the even
one). So a step of decay moves no weight for :math:`\delta \le 2^{-(p+1)}`, and every
normal one for :math:`\delta \ge 2^{-p}`: :math:`2^{-9}` and :math:`2^{-8}` in bfloat16.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from wdjax.decay import where as where_
from wdjax.decay.where.leaves import Leaf
from wdjax.inspect import pulls as pulls_
from wdjax.inspect.findings import Finding, found
from wdjax.inspect.pulls import Pulls
from wdjax.inspect.rates import Steps
from wdjax.theory import rounding as rounding_

LOST_SHARE = 0.01
"""Of the budget: a warm-up's first steps may be lost without a warning."""


class Rounding(NamedTuple):
    """Between which rates a dtype rounds a part of the weights' decay away.

    Attributes:
        none: up to here a step of decay moves no weight.
        every: from here on it moves every normal one.
    """

    none: float
    every: float


def rounding(dtype: Any) -> Rounding:
    r"""The thresholds of a dtype, :math:`2^{-(p+1)}` and :math:`2^{-p}`.

    Args:
        dtype: of the weights; of a complex one that of its parts.
    """
    p = int(jnp.finfo(dtype).nmant) + 1
    return Rounding(rounding_.largest_lost(p), rounding_.smallest_sure(p))


def of_dtypes(pulls: Pulls, leaves: list[Leaf], decay: Steps) -> Iterator[Finding]:
    """Decoupled decay that the dtype of its leaves swallows, wholly or in part."""
    if pulls.keeps_precision:
        return
    alike: dict[tuple[Any, float], list[str]] = defaultdict(list)
    for leaf in leaves:
        if leaf.path in pulls.behind:
            strength = pulls_.strength(pulls.behind[leaf.path])
            alike[leaf.dtype, strength].append(leaf.path)
    for (dtype, strength), paths in alike.items():
        yield from _of_dtype(dtype, strength * decay, paths)


def _of_dtype(dtype: Any, delta: Steps, paths: list[str]) -> Iterator[Finding]:
    """What a dtype does to some leaves' δ_t m, judged by the share of the budget."""
    total = float(np.sum(delta))
    if not total > 0:
        return
    none, every = rounding(dtype)
    largest, p = float(np.max(delta)), round(-np.log2(every))
    remedy = (
        "Keep these weights in a wider dtype, or what rounding drops: put "
        "wdjax.precision.with_master_weights, with_error_feedback or "
        "with_stochastic_rounding around the optimizer."
    )
    if largest <= none:
        yield found(
            "no-op-in-dtype",
            f"δ_t is at most {largest:.2g}, and in {jnp.dtype(dtype).name} a decay of "
            f"2^-{p + 1} = {none:.3g} or less rounds back to the weight: it moves no "
            "weight, in however many steps.",
            remedy,
            paths,
        )
        return
    lost = float(np.sum(delta[delta <= none])) / total
    partly = float(np.sum(delta[(delta > none) & (delta < every)])) / total
    if lost + partly > LOST_SHARE:
        yield found(
            "rounded-in-dtype",
            f"In {jnp.dtype(dtype).name} a decay moves no weight up to 2^-{p + 1} = "
            f"{none:.3g}, and all of them from 2^-{p} = {every:.3g} on: {lost:.0%} of "
            f"Σδ_t lies below the two, {partly:.0%} between them.",
            remedy,
            paths,
        )


def of_places(pulls: Pulls) -> Iterator[Finding]:
    """Leaves that are pulled twice, or that are pulled and not trained."""
    both = [path for path in pulls.behind if path in pulls.in_front]
    if both:
        yield found(
            "l2-and-decay",
            "An L2 penalty and a weight decay act on the same leaves: their strengths "
            "add up, and in front of an adaptive method the penalty is no decay.",
            "Drop one of the two, or give them leaves of their own with where=.",
            both,
        )
    if pulls.twice:
        yield found(
            "decays-twice",
            "Two weight decays act on the same leaves.",
            "Drop one of them.",
            pulls.twice,
        )
    if pulls.frozen:
        yield found(
            "frozen-leaves-decay",
            "Leaves that are not trained decay: nothing but the decay moves them, "
            "towards 0.",
            "Leave them out with where=; or give them optax.set_to_zero in "
            "optax.partition, or last in the chain, behind the decay.",
            pulls.frozen,
        )


def of_gains(
    pulls: Pulls, leaves: list[Leaf], where: where_.Where
) -> Iterator[Finding]:
    """Gains and biases that are pulled: told by their names."""
    by_rank = pulls_.goes_by_rank(where)
    gains = [
        leaf.path
        for leaf in leaves
        if leaf.path in pulls.all and pulls_.is_gain_or_bias(leaf)
    ]
    yield from _of_kind(
        "stacked-vectors-decay",
        f"The rule {where} counts axes, and takes gains or biases for matrices where "
        "one array holds those of several layers or heads.",
        "Say which axes count layers: wdjax.where.stacked(wdjax.where.matrices, "
        '{r"blocks/.*": 1}). Or go by name: wdjax.where.except_norm_and_bias.',
        gains if by_rank else [],
    )
    yield from _of_kind(
        "norms-and-biases-decay",
        "Gains of a normalisation or biases are pulled towards 0. Most recipes leave "
        "them out: a gain that shrinks silences its unit.",
        "where=wdjax.where.except_norm_and_bias leaves them out.",
        [] if by_rank else gains,
    )


def of_others(
    pulls: Pulls, leaves: list[Leaf], where: where_.Where
) -> Iterator[Finding]:
    """Embeddings that are pulled, and what has a vector's rank but no known name."""
    ranks = pulls_.ranks(where, leaves)
    others = [
        leaf
        for leaf in leaves
        if leaf.path in pulls.all and not pulls_.is_gain_or_bias(leaf)
    ]
    embeddings = [leaf.path for leaf in others if pulls_.is_embedding(leaf)]
    vectors = [
        leaf.path
        for leaf in others
        if leaf.path not in embeddings and ranks[leaf.path] < 2
    ]
    some_matrix = any(rank >= 2 for rank in ranks.values())  # else rank tells nothing
    yield from _of_kind(
        "vectors-decay",
        "Leaves with at most one axis are pulled: gains or biases, by their rank.",
        "where=wdjax.where.matrices leaves them out.",
        vectors if some_matrix else [],
    )
    yield from _of_kind(
        "embeddings-decay",
        "Embeddings are pulled. A row whose token is not in the batch meets the decay "
        "and no gradient, so that rare tokens shrink most. (Practice is divided.)",
        "Leave them out with wdjax.where.by_path, or accept it: "
        'ignore=["embeddings-decay"].',
        embeddings,
    )


def of_misses(
    pulls: Pulls, leaves: list[Leaf], where: where_.Where
) -> Iterator[Finding]:
    """Matrices that nothing pulls, and whether anything is pulled at all."""
    if not pulls.all:
        yield found(
            "nothing-decays",
            "No leaf is pulled, neither by L2 nor by weight decay.",
            "Check weight_decay, and where= by wdjax.where.describe(where, params).",
        )
        return
    ranks = pulls_.ranks(where, leaves)
    missed = [
        leaf.path
        for leaf in leaves
        if leaf.path not in pulls.all
        and leaf.path not in pulls.named_zero
        and ranks[leaf.path] >= 2
        and jnp.issubdtype(leaf.dtype, jnp.inexact)
        and not pulls_.is_gain_or_bias(leaf)
        and not pulls_.is_embedding(leaf)
    ]
    yield from _of_kind(
        "matrices-missed",
        "Leaves that look like matrices are not pulled.",
        "If that is meant, name them with multiplier 0 in wdjax.where.by_path; else "
        "see wdjax.where.describe(where, params) for the reason.",
        missed,
    )


def of_strengths(pulls: Pulls) -> Iterator[Finding]:
    """Multipliers beside 0 and 1."""
    strengths = {path: pulls_.strength(m) for path, m in pulls.all.items()}
    unequal = [path for path, strength in strengths.items() if strength != 1]
    if unequal:
        low, high = min(strengths.values()), max(strengths.values())
        yield found(
            "multipliers-differ",
            f"Multipliers of leaves reach from {low:g} to {high:g}; the numbers above "
            "are those of multiplier 1.",
            "Multiply Σδ_t and δ_t by a leaf's own.",
            unequal,
        )


def _of_kind(name: str, what: str, remedy: str, leaves: list[str]) -> Iterator[Finding]:
    if leaves:
        yield found(name, what, remedy, leaves)
