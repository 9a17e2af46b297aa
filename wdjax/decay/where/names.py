"""Rules by the names in a leaf's path."""

import re
from dataclasses import dataclass

from wdjax.decay.where.leaves import Leaf
from wdjax.decay.where.rules import Assignment


@dataclass(frozen=True)
class ExceptNames:
    """Pull all leaves but those that a name excludes.

    Attributes:
        leaf: a regular expression for the last name in a leaf's path.
        anywhere: one for any name in it.
    """

    leaf: str
    anywhere: str

    def __str__(self) -> str:
        """The public name."""
        return "except_norm_and_bias" if self == except_norm_and_bias else repr(self)

    def assign(self, leaves: list[Leaf]) -> list[Assignment]:
        """Multiplier 0 for a leaf with a matching name, else 1."""
        return [self._assign(leaf) for leaf in leaves]

    def _assign(self, leaf: Leaf) -> Assignment:
        *modules, last = leaf.path.split("/")
        if re.fullmatch(self.leaf, last, re.IGNORECASE):
            return Assignment(0.0, f"{last!r} is a bias or a gain")
        for name in (*modules, last):
            if re.fullmatch(self.anywhere, name, re.IGNORECASE):
                return Assignment(0.0, f"{name!r} is a norm")
        return Assignment(1.0, "neither norm nor bias")


except_norm_and_bias = ExceptNames(
    leaf=r"b|bias(es)?|.*_bias|offset|scale|gain|gamma|beta",
    anywhere=r"(.*_)?(batch|layer|group|instance|rms|scale)?_?norms?(_?\d+d?)?(_\d+)?"
    r"|(bn|ln)(_\w+|\d+)?"
    r"|.*_(bn|ln)(_?\d+)?",  # no further words: a pre_ln_block has matrices too
)
"""Every leaf but those with a bias or a normalisation by name in their path.

``bias``, ``scale``, ``LayerNorm_0``, ``BatchNorm2d``, ``final_norm``, ``ln_f``,
``attn_ln``, ``bn1``, ``conv1_bn`` and the like; a name that merely contains "norm"
(``abnormal``) or ends in "ln" (``kiln``) is none. :func:`describe` shows it.
"""
