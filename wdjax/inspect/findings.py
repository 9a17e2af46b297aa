"""What an examination finds: how bad it is, what it is, and what to do about it."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from wdjax import check

Severity: TypeAlias = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first. An error: the run will fail, or the decay will not act."""

WIDTH = 88
"""Columns of a printed report."""


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: of every finding of the kind.
        meaning: in one line.
    """

    severity: Severity
    meaning: str


KINDS = {
    "init-refused": Kind("error", "`where`, or the optimizer, refuses the parameters"),
    "rate-not-finite": Kind("error", "a rate is NaN or infinite in some step"),
    "rate-negative": Kind("error", "δ_t < 0: the weights grow"),
    "rate-diverges": Kind("error", "δ_t is so large that the decay itself diverges"),
    "rate-overshoots": Kind("error", "δ_t ≥ 1: a step leaves nothing, or flips signs"),
    "no-op-in-dtype": Kind("error", "every step of decay rounds back to the weight"),
    "rounded-in-dtype": Kind("warning", "rounding loses a part of the decay"),
    "rates-missing": Kind("warning", "an optimizer pulls, and no rate was given"),
    "nothing-decays": Kind("warning", "no leaf is pulled"),
    "budget-tiny": Kind("warning", "Σδ_t is so small that the decay hardly acts"),
    "budget-huge": Kind("warning", "Σδ_t is so large that little is remembered"),
    "timescale-beyond-run": Kind("warning", "the timescale 1/δ exceeds the run"),
    "l2-and-decay": Kind("warning", "L2 and weight decay act on one leaf"),
    "decays-twice": Kind("warning", "two weight decays act on one leaf"),
    "frozen-leaves-decay": Kind("warning", "leaves that are not trained decay"),
    "norms-and-biases-decay": Kind("warning", "gains and biases are pulled"),
    "stacked-vectors-decay": Kind("warning", "a rule by rank pulls gains or biases"),
    "vectors-decay": Kind("warning", "leaves with at most one axis are pulled"),
    "embeddings-decay": Kind("warning", "embeddings are pulled"),
    "matrices-missed": Kind("warning", "matrices are left out"),
    "l2-not-predictable": Kind("note", "what L2 does depends on the gradients"),
    "multipliers-differ": Kind("note", "leaves are pulled with unequal strength"),
    "equilibrium-not-reached": Kind("note", "Σδ_t is too small for equilibrium"),
}
"""Every kind of finding, by the name that ``ignore`` takes."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: ``"error"``, ``"warning"`` or ``"note"``.
        name: the kind, a key of :data:`KINDS`.
        what: what is the case, in a sentence with its numbers.
        remedy: what to do about it.
        leaves: the paths of those that it is about; empty if about no leaf.
    """

    severity: Severity
    name: str
    what: str
    remedy: str
    leaves: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The finding in lines of at most 88 columns."""
        lines = [f"{self.severity}: {self.name}", *_indented("", self.what)]
        if self.leaves:
            lines += _indented("leaves: ", shown(self.leaves))
        return "\n".join([*lines, *_indented("→ ", self.remedy)])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self) | {"leaves": list(self.leaves)}


def found(name: str, what: str, remedy: str, leaves: Iterable[str] = ()) -> Finding:
    """A finding of a known kind, with that kind's severity."""
    return Finding(KINDS[name].severity, name, what, remedy, tuple(leaves))


def sifted(findings: Iterable[Finding], ignore: Iterable[str]) -> tuple[Finding, ...]:
    """The findings whose kind is not ignored, the worst first.

    Raises:
        ValueError: a name is no kind.
    """
    if isinstance(ignore, str):
        raise ValueError(f"ignore is the string {ignore!r}; give a list of names.")
    ignored = set(ignore)
    for name in ignored - KINDS.keys():
        raise ValueError(
            f"ignore: {name!r} is no finding. {check.nearest(name, KINDS)}"
        )
    kept = [finding for finding in findings if finding.name not in ignored]
    return tuple(sorted(kept, key=lambda f: SEVERITIES.index(f.severity)))


def shown(leaves: tuple[str, ...]) -> str:
    """The first few paths, and how many more."""
    more = f" and {len(leaves) - 8} more" if len(leaves) > 8 else ""
    return ", ".join(path or "(the array itself)" for path in leaves[:8]) + more


def _indented(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="  " + first,
        subsequent_indent="  " + " " * len(first),
        break_on_hyphens=False,
    )
