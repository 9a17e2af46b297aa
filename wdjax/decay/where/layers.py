r"""Layer-wise strengths: deeper layers are pulled more, or less.

.. math:: m_i = f^{\,L-1-i}, \qquad i = 0, \dots, L-1

so that the last layer has multiplier 1. With :math:`f < 1` the early layers are pulled
less (they keep what they know), with :math:`f > 1` more.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from wdjax import check
from wdjax.decay.where.leaves import Leaf, heads, refuse_unmatched, shown
from wdjax.decay.where.multipliers import known
from wdjax.decay.where.paths import compiled
from wdjax.decay.where.rules import Assignment
from wdjax.types import ScalarLike


@dataclass(frozen=True)
class LayerWise:
    """Layers numbered in their paths; see :func:`layer_wise`."""

    pattern: str
    factor: Any
    others: Any

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """``factor`` to the number of layers that follow.

        Raises:
            ValueError: the pattern matches no leaf, captures no number, or layers may
                hide where they cannot be counted.
        """
        refuse_unmatched(self.pattern, leaves)
        numbers = [self._number(leaf) for leaf in leaves]
        seen = zip(leaves, numbers, strict=True)
        if any(leaf.shape is not None and n is not None for leaf, n in seen):
            self._refuse_uncountable(leaves)
        hidden = (n for leaf in leaves for n in self._hidden_numbers(leaf))
        layers = sorted({*hidden, *(n for n in numbers if n is not None)})
        return [self._assign(n, layers) for n in numbers]

    def _assign(self, number: int | None, layers: list[int]) -> Assignment:
        if number is None:
            return Assignment(self.others, "in no layer")
        after = len(layers) - 1 - layers.index(number)
        reason = f"layer {number}, {after} of {len(layers)} after it"
        return Assignment((1.0 * known(self.factor)) ** after, reason)

    def _number(self, leaf: Leaf) -> int | None:
        match = re.fullmatch(self.pattern, leaf.path)
        if match is None:
            return None
        if not (match[1] and match[1].isdecimal()):
            raise ValueError(
                f"layer_wise: pattern {self.pattern!r} captures {match[1]!r} in "
                f"{leaf.path!r}, which is no layer's number; capture it by (\\d+)."
            )
        return int(match[1])

    def _hidden_numbers(self, leaf: Leaf) -> list[int]:
        """The layer whose leaves a hidden subtree stands for, if it is one."""
        if leaf.shape is not None:
            return []
        matches = [h.fullmatch(leaf.path) for h in heads(self.pattern) if h is not None]
        found = [m[1] for m in matches if m and m.re.groups]
        return [int(number) for number in found if number and number.isdecimal()]

    def _refuse_uncountable(self, leaves: list[Leaf]) -> None:
        for leaf in leaves:
            if leaf.shape is None and self._may_hide_layers(leaf):
                raise ValueError(
                    f"layer_wise: cannot count the layers that are hidden below "
                    f"{leaf.path!r}; hide them leaf by leaf (labels of "
                    "optax.partition in the parameters' full structure)."
                )

    def _may_hide_layers(self, leaf: Leaf) -> bool:
        if re.fullmatch(self.pattern, leaf.path) or self._hidden_numbers(leaf):
            return False
        return any(h is None or h.fullmatch(leaf.path) for h in heads(self.pattern))


@dataclass(frozen=True)
class LayerWiseStacked:
    """Layers along a leaf's first axis; see :func:`layer_wise_stacked`."""

    pattern: str
    factor: Any
    others: Any

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """An array of powers along the first axis.

        Raises:
            ValueError: the pattern matches no leaf, or leaves of different lengths.
        """
        refuse_unmatched(self.pattern, leaves)
        matched = [
            leaf for leaf in leaves if leaf.shape is not None and self._has(leaf)
        ]
        lengths = {leaf.shape[:1] for leaf in matched if leaf.shape is not None}
        if len(lengths) > 1 or () in lengths:
            raise ValueError(
                f"layer_wise_stacked: the leaves that {self.pattern!r} matches do not "
                f"share a first axis: {shown(matched)}. Give each stack its own rule, "
                "or match its leaves only."
            )
        return [self._assign(leaf) for leaf in leaves]

    def _has(self, leaf: Leaf) -> bool:
        return re.fullmatch(self.pattern, leaf.path) is not None

    def _assign(self, leaf: Leaf) -> Assignment:
        if leaf.shape is None or not self._has(leaf):
            return Assignment(self.others, "in no layer")
        length, *rest = leaf.shape
        after = np.arange(length)[::-1]
        powers = (1.0 * known(self.factor)) ** after
        return Assignment(
            powers.reshape((length, *(1 for _ in rest))),
            f"{length} layers along axis 0",
        )


def layer_wise(
    pattern: str, factor: ScalarLike, *, others: ScalarLike = 1.0
) -> LayerWise:
    r"""Multipliers by depth, for layers that are numbered in their paths.

    .. math:: m_i = f^{\,L-1-i}

    Layers are counted in the order of their numbers, gaps left out: ``layers/0`` and
    ``layers/2`` (an activation between them) are two. Layers that ``optax.partition``
    or ``masked`` hides count too.

    Example:
        ``layer_wise(r"blocks/(\d+)/.*kernel", 0.9, others=0.0)``

    Args:
        pattern: a regular expression of whole paths, with one group that captures the
            layer's number.
        factor: :math:`f \ge 0`, from each layer to the one before it.
        others: the multiplier of leaves that the pattern does not match.

    Returns:
        A rule for every ``where=`` argument.

    Raises:
        ValueError: the pattern has not one group, or a number is negative. Later: the
            pattern matches no leaf, or captures what is no number.
    """
    _check_layers("layer_wise", pattern, factor, others)
    groups = re.compile(pattern).groups
    if groups != 1:
        raise ValueError(
            f"layer_wise: pattern {pattern!r} has {groups} groups; it needs one, "
            r"around the layer's number: r'blocks/(\d+)/.*'. Write others as (?:…)."
        )
    return LayerWise(pattern, factor, others)


def layer_wise_stacked(
    pattern: str, factor: ScalarLike, *, others: ScalarLike = 1.0
) -> LayerWiseStacked:
    r"""Multipliers by depth, for layers stacked along the first axis of their leaves.

    .. math:: m_i = f^{\,L-1-i}

    The same as :func:`layer_wise`, where ``nnx.scan`` or ``nn.scan`` keeps layer
    :math:`i` in entry :math:`i` of one array.

    Args:
        pattern: a regular expression of whole paths; no group is needed.
        factor: see :func:`layer_wise`.
        others: see :func:`layer_wise`.

    Returns:
        A rule for every ``where=`` argument.

    Raises:
        ValueError: as :func:`layer_wise`; later also if the leaves do not share the
            length of their first axis.
    """
    _check_layers("layer_wise_stacked", pattern, factor, others)
    return LayerWiseStacked(pattern, factor, others)


def _check_layers(caller: str, pattern: str, factor: Any, others: Any) -> None:
    compiled(caller, pattern)
    for name, value in (("factor", factor), ("others", others)):
        if callable(value):
            raise ValueError(
                f"{caller}: {name} is {value!r}; it must be a number, not a schedule."
            )
        check.non_negative(f"{caller}: {name}", value)
