"""Rules by the number of axes, and what to do where some of them count layers."""

from collections.abc import Mapping
from dataclasses import dataclass

from wdjax.decay.where.leaves import Leaf
from wdjax.decay.where.paths import ByPath
from wdjax.decay.where.rules import Assignment, Rule


@dataclass(frozen=True)
class MinimumRank:
    """Pull the leaves that have at least ``rank`` axes."""

    rank: int

    def __str__(self) -> str:
        """The public name."""
        return "matrices" if self.rank == 2 else repr(self)

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """Multiplier 1 for a high enough rank, else 0."""
        return [self._assign(leaf) for leaf in leaves]

    def _assign(self, leaf: Leaf) -> Assignment:
        rank = len(leaf.shape or ())
        if rank >= self.rank:
            return Assignment(1.0, f"rank {rank} ≥ {self.rank}")
        return Assignment(0.0, f"rank {rank} < {self.rank}")


matrices = MinimumRank(2)
"""Leaves with two axes or more: kernels and embeddings, no biases, no gains.

It counts axes and knows nothing else. Two traps: a *stacked* bias (``nnx.scan``,
``nn.scan``, an ensemble in one array) has an axis too many, for which :func:`stacked`
is the remedy; and the query, key and value biases of Flax's attention have two axes of
their own (heads, features), so that :data:`except_norm_and_bias` is the rule there.
"""


@dataclass(frozen=True)
class Stacked:
    """A rule that does not see the axes that count layers; see :func:`stacked`."""

    rule: Rule
    axes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """As it was written."""
        return f"stacked({self.rule}, {dict(self.axes)})"

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """What the rule says of one layer of each leaf."""
        counts = stack_counts(self.axes, leaves)
        inner = self.rule.assign(
            [_one_layer(leaf, n) for leaf, n in zip(leaves, counts, strict=True)]
        )
        return [
            assigned._replace(reason=f"{assigned.reason}, {n} stacked")
            if n
            else assigned
            for assigned, n in zip(inner, counts, strict=True)
        ]


def stacked(rule: Rule, axes: Mapping[str, int]) -> Stacked:
    r"""A rule applied to one layer of leaves that hold many.

    ``nnx.scan``, ``nn.scan`` and ensembles kept in one array put axes in front of their
    leaves that count layers, not weights: a bias becomes a "matrix", and
    :data:`matrices` would decay it. Inside ``jax.vmap`` a leaf already has the rank of
    one member; there nothing is to be done.

    Example:
        ``stacked(matrices, {r"blocks/.*": 1})``

    Args:
        rule: what to apply; one that looks at shapes, or there is no need.
        axes: patterns of whole paths, as in :func:`by_path`, and the number of leading
            axes to take off before the rule looks.

    Returns:
        A rule for every ``where=`` argument.

    Raises:
        ValueError: ``rule`` is none, or a number of axes is not an integer ≥ 0. Later:
            a pattern matches no leaf, two match one, or a leaf has fewer axes.
    """
    if not isinstance(rule, Rule) or isinstance(rule, type):
        raise ValueError(
            f"stacked: {rule!r} is no rule; give one that looks at shapes, such as "
            "wdjax.where.matrices. Trees need none: they name each leaf."
        )
    for pattern, count in axes.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(
                f"stacked: {count!r} leading axes for {pattern!r}; give an integer ≥ 0."
            )
    return Stacked(rule, tuple(axes.items()))


def stack_counts(axes: tuple[tuple[str, int], ...], leaves: list[Leaf]) -> list[int]:
    """How many leading axes to take off each leaf; 0 for hidden ones.

    Raises:
        ValueError: a pattern matches no leaf, two match one, or a leaf has fewer axes.
    """
    assigned = ByPath(axes, 0).assign(leaves)
    counts = [
        0 if leaf.shape is None else count
        for leaf, (count, *_) in zip(leaves, assigned, strict=True)
    ]
    for leaf, count in zip(leaves, counts, strict=True):
        if not 0 <= count <= len(leaf.shape or ()):
            raise ValueError(
                f"stacked: leaf {leaf.path!r} of shape {leaf.shape} does not have "
                f"{count} leading axes."
            )
    return counts


def _one_layer(leaf: Leaf, count: int) -> Leaf:
    return leaf if leaf.shape is None else leaf._replace(shape=leaf.shape[count:])
