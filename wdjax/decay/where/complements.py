"""The leaves that another rule leaves out."""

from dataclasses import dataclass

import jax

from wdjax.decay.where.leaves import Leaf
from wdjax.decay.where.multipliers import check_multiplier, complemented
from wdjax.decay.where.rules import Assignment, Rule, Where


@dataclass(frozen=True)
class Complement:
    """1 where a rule gives 0, and 0 elsewhere; see :func:`complement`."""

    rule: Rule

    def __str__(self) -> str:
        """As it was written."""
        return f"complement({self.rule})"

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """The rule's multipliers, complemented."""
        return [
            Assignment(complemented(assigned.multiplier), f"not: {assigned.reason}")
            for assigned in self.rule.assign(leaves)
        ]


def complement(where: Where) -> Where:
    r"""The leaves that another ``where=`` leaves out.

    .. math:: m'_i = 1 \text{ if } m_i = 0, \text{ else } 0

    Entry by entry where a multiplier is an array. Two pulls on a rule and on its
    complement share the leaves between them.

    Args:
        where: a rule or a tree of multipliers.

    Returns:
        A rule for a rule, a tree for a tree.

    Raises:
        ValueError: ``where`` is ``None``: every leaf, which leaves out none.
    """
    if where is None:
        raise ValueError(
            "complement: where=None is every leaf and leaves out none; give a rule or "
            "a tree of multipliers."
        )
    if isinstance(where, Rule) and not isinstance(where, type):
        return Complement(where)
    for multiplier in jax.tree.leaves(where):
        check_multiplier("complement: a multiplier", multiplier)
    return jax.tree.map(complemented, where)
