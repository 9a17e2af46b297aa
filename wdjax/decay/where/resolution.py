"""From ``where=`` and parameters to one multiplier for every leaf."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import PyTree

from wdjax.decay.where import multipliers
from wdjax.decay.where.leaves import Leaf, leaves_of, shown
from wdjax.decay.where.multipliers import is_zero
from wdjax.decay.where.ranks import stack_counts
from wdjax.decay.where.rules import Assignment, Rule, Where
from wdjax.decay.where.trees import spread

RULES = (
    "matrices",
    "except_norm_and_bias",
    "by_path",
    "by_module",
    "layer_wise",
    "layer_wise_stacked",
    "stacked",
    "complement",
)
"""The public names, for suggestions."""


def resolve(where: Where, params: PyTree) -> list[Any]:
    """One multiplier for every leaf of ``jax.tree.leaves(params)``.

    Args:
        where: ``None``, a rule, or a tree of multipliers.
        params: the parameters, or their shapes.

    Returns:
        Numbers, or arrays (traced, or not) without axes or with as many as the leaf,
        in the order of the leaves.

    Raises:
        ValueError: the rule or the tree does not fit the parameters, a rule pulls no
            leaf at all, or a leaf that is pulled holds integers.
    """
    assigned = _assignments(where, params)
    seen = [(leaf, a.multiplier) for leaf, a in assigned if leaf.shape is not None]
    for leaf, multiplier in seen:
        if not (is_zero(multiplier) or jnp.issubdtype(leaf.dtype, jnp.inexact)):
            raise ValueError(
                f"where: leaf {leaf.path!r} has dtype {leaf.dtype} and cannot be "
                "decayed; give it the multiplier 0, or keep it out of the parameters."
            )
    if isinstance(where, Rule):
        _refuse_nothing(where, assigned)
    return [multiplier for _, multiplier in seen]


def stack_axes(stacked: Mapping[str, int] | None, params: PyTree) -> list[int]:
    """How many leading axes of each leaf count layers or members, not weights.

    Args:
        stacked: patterns of whole paths, as in :func:`by_path`, and the number of
            leading axes that ``nnx.scan``, ``nn.scan`` or ``vmap`` has put in front of
            their leaves; ``None`` for none.
        params: the parameters, or their shapes.

    Returns:
        A number for every leaf of ``jax.tree.leaves(params)``; 0 where no pattern
        matches.

    Raises:
        ValueError: a pattern matches no leaf, two match one, or a leaf has fewer axes.
    """
    leaves = leaves_of(params)
    counts = stack_counts(tuple((stacked or {}).items()), leaves)
    return [n for leaf, n in zip(leaves, counts, strict=True) if leaf.shape is not None]


def pulled(where: Where, params: PyTree) -> dict[str, Any]:
    """The leaves whose multiplier is not known to be 0: its path, and that."""
    return {
        leaf.path: multiplier
        for leaf, (multiplier, *_) in _assignments(where, params)
        if leaf.shape is not None and not is_zero(multiplier)
    }


def describe(where: Where, params: PyTree) -> str:
    """A table of what a ``where=`` does: leaf, shape, multiplier, rule.

    Of an array it shows the least and the largest entry, and the shape.

    Args:
        where: ``None``, a rule, or a tree of multipliers.
        params: the parameters, or their shapes.

    Returns:
        Aligned text with a line for each leaf.

    Raises:
        ValueError: the rule or the tree does not fit the parameters.
    """
    rows = [("leaf", "shape", "multiplier", "rule")] + [
        (leaf.path, f"{leaf.shape}", multipliers.brief(a.multiplier), a.reason)
        for leaf, a in _assignments(where, params)
        if leaf.shape is not None
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _assignments(where: Where, params: PyTree) -> list[tuple[Leaf, Assignment]]:
    """Every leaf with its fitted multiplier; hidden ones with what is of no use."""
    leaves = leaves_of(params)
    if all(leaf.shape is None for leaf in leaves):
        return []
    if where is None:
        assigned = [Assignment(1.0, "all leaves")] * len(leaves)
    elif isinstance(where, str):
        raise ValueError(_no_strings(where))
    elif isinstance(where, Rule) and not isinstance(where, type):
        assigned = where.assign(leaves)
    else:
        assigned = [Assignment(m, "tree") for m in spread(where, params, leaves)]
    return [
        (leaf, a._replace(multiplier=multipliers.fitted(a.multiplier, leaf)))
        for leaf, a in zip(leaves, assigned, strict=True)
    ]


def _refuse_nothing(rule: Rule, assigned: list[tuple[Leaf, Assignment]]) -> None:
    """A mode that matches no leaf is a mistake, unless the leaves are elsewhere."""
    leaves = [leaf for leaf, _ in assigned]
    if not leaves or any(leaf.shape is None for leaf in leaves):
        return
    if all(is_zero(a.multiplier) and not a.named for _, a in assigned):
        raise ValueError(
            f"where: {rule} pulls none of the leaves: {shown(leaves)}. "
            "wdjax.where.describe says why; where=None is every leaf, and where=0.0 "
            "none, if none is meant."
        )


def _no_strings(name: str) -> str:
    close = difflib.get_close_matches(name, RULES, cutoff=0.4)
    rule = close[0] if close else RULES[0]
    return (
        f"where is the string {name!r}; give the rule itself, such as "
        f"wdjax.where.{rule}."
    )
