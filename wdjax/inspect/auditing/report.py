"""What an audit found, for people and for machines."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from wdjax.inspect.auditing.exponents import Exponents
from wdjax.inspect.auditing.kinds import Kind
from wdjax.inspect.plain import plain

WIDTH = 88
AS_IT_IS: Any = {
    "break_long_words": False,
    "break_on_hyphens": False,
    "replace_whitespace": False,
}


@dataclasses.dataclass(frozen=True)
class LeafAudit:
    """One leaf.

    Attributes:
        kind: of its decay.
        decay_rate: δ_t at its largest; ``None`` where there is no such number.
        l2: λ₂, where weights act as the gradient λ₂θ would.
        moved: whether gradients move it.
        reasons: what was seen.
    """

    kind: Kind
    decay_rate: float | None
    l2: float | None
    moved: bool
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an optimizer's weight decay is, as measured.

    Attributes:
        kind: of the decay: one of none, decoupled, coupled, trust, proximal, gated,
            target, norm, growing, unknown.
        per_leaf: by path.
        decay_rate: δ_t of each measured step, of the largest leaf that has one.
        convention: exponents of δ_t, for a factory.
        equivalents: λ under each convention, for the same δ_t at the peak.
        without_decay: the kind at zero decay, for a factory.
        evidence: numbers by name, of the largest leaf that decays.
        reasons: sentences, what was seen and what could not be told.
    """

    kind: Kind
    per_leaf: Mapping[str, LeafAudit]
    decay_rate: tuple[float, ...] | None = None
    convention: Exponents | None = None
    equivalents: Mapping[str, float] = dataclasses.field(default_factory=dict)
    without_decay: Kind | None = None
    evidence: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data: strings, numbers, ``None``, lists and dictionaries.

        Returns:
            ``kind``; ``per_leaf`` (path to ``kind``, ``decay_rate``, ``l2``, ``moved``,
            ``reasons``); ``decay_rate`` (a list or ``None``); ``convention`` (``None``,
            or ``peak``, ``schedule``, ``decay``, ``residual``, ``factor``, ``name``);
            ``equivalents``; ``without_decay``; ``evidence``; ``reasons``. What is not
            finite is ``None``.
        """
        fields = dataclasses.asdict(self)
        fields["convention"] = self.convention and self.convention._asdict()
        return plain(fields)

    def __str__(self) -> str:
        """A table of at most 88 columns."""
        lines = [f"weight decay: {self.kind}"]
        lines += [f"  {reason}" for reason in self.reasons]
        lines += self._about_rates()
        lines += ["", *_table(self.per_leaf)]
        return "\n".join(
            textwrap.fill(text, WIDTH, subsequent_indent="    ", **AS_IT_IS)
            for text in lines
        )

    def _about_rates(self) -> list[str]:
        lines = []
        if self.decay_rate is not None:
            rates = np.array(self.decay_rate) + 0.0  # no −0
            same = np.ptp(rates) <= 1e-3 * np.abs(rates).max()
            shown = f"{rates[0]:.4g}" if same else ", ".join(f"{r:.3g}" for r in rates)
            lines.append(f"  δ_t = {shown}")
        if self.convention is not None:
            lines.append(f"  {_formula(self.convention)}")
        if self.equivalents:
            pairs = ", ".join(f"{k} {v:.4g}" for k, v in self.equivalents.items())
            lines.append(f"  the same decay at the peak: {pairs}")
        return lines


def _formula(fit: Exponents) -> str:
    if math.isnan(fit.schedule):
        return "how δ_t follows a schedule could not be told, nor so its convention"
    if fit.residual > 0.1:
        return "δ_t follows no law λ^c · α^a · η_t^b in all steps alike"
    name = f" ({fit.name})" if fit.name else ""
    a, b = (round(x, 2) + 0.0 for x in (fit.peak, fit.schedule))
    power = "" if abs(fit.decay - 1) < 0.02 else f"^{fit.decay:.2g}"
    factor = "" if abs(fit.factor - 1) < 0.02 else f"{fit.factor:.3g} · "
    off = f", off by up to {fit.residual:.0%}" if fit.residual > 1e-3 else ""
    return f"δ_t = {factor}λ{power} · α^{a:g} · η_t^{b:g}{name}{off}"


def _table(per_leaf: Mapping[str, LeafAudit]) -> list[str]:
    width = min(44, max(4, *(len(path) for path in per_leaf)) if per_leaf else 4)
    lines = [f"{'leaf':{width}}  {'kind':10}{'δ':>10}{'λ₂':>10}  moved by gradients"]
    for path, leaf in per_leaf.items():
        shown = path if len(path) <= width else "…" + path[1 - width :]
        rate = "" if leaf.decay_rate is None else f"{leaf.decay_rate:.3g}"
        l2 = "" if leaf.l2 is None else f"{leaf.l2:.3g}"
        moved = "yes" if leaf.moved else "no"
        lines.append(f"{shown:{width}}  {leaf.kind:10}{rate:>10}{l2:>10}  {moved}")
    return lines
