"""What the doctor says: numbers and findings, for a person, a machine and CI."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from wdjax.inspect.findings import Finding
from wdjax.inspect.plain import plain


@dataclass(frozen=True)
class Diagnosis:
    r"""The numbers of a run before it, and what is wrong with it.

    Numbers are of multiplier 1. ``None`` stands for what cannot be known before the
    run, or what the base's theory does not tell.

    Attributes:
        base: the optimizer without its decay.
        steps: :math:`T`, of the run.
        pulled: the paths of the leaves that decay or are penalised.
        leaves: how many there are.
        findings: the worst first.
        strict: whether a warning fails.
        budget: :math:`\sum_t \delta_t`.
        initial_weight_left: :math:`\prod_t |1 - \delta_t|`, of the initialisation at
            the end.
        largest_rate: :math:`\delta`, the largest :math:`\delta_t`, of which are:
        timescale_in_steps: :math:`\tau = 1/\delta`; infinite without decay.
        timescale_in_epochs: :math:`\tau b/N`; ``None`` if no sizes are given.
        timescale_over_horizon: :math:`\tau/T`.
        half_life_in_steps: :math:`\ln 2/(-\ln|1 - \delta|)`.
        equilibrium_rms: root mean square of a scale-invariant layer's weights.
        equilibrium_rotation: by how much a step turns it, in radians.
    """

    base: str
    steps: int
    pulled: tuple[str, ...]
    leaves: int
    findings: tuple[Finding, ...]
    strict: bool
    budget: float | None = None
    initial_weight_left: float | None = None
    largest_rate: float | None = None
    timescale_in_steps: float | None = None
    timescale_in_epochs: float | None = None
    timescale_over_horizon: float | None = None
    half_life_in_steps: float | None = None
    equilibrium_rms: float | None = None
    equilibrium_rotation: float | None = None

    @property
    def exit_code(self) -> Literal[0, 1]:
        """1 if there is an error, or under ``strict`` a warning; else 0."""
        failing = ("error", "warning") if self.strict else ("error",)
        return 1 if any(f.severity in failing for f in self.findings) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no NaN and no infinity: ``None`` for them."""
        numbers = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        findings = [finding.to_dict() for finding in self.findings]
        return numbers | {"findings": findings, "exit_code": self.exit_code}

    def __str__(self) -> str:
        """A table of the numbers, then the findings, in at most 88 columns."""
        rows = _rows(self)
        width = max(len(label) for label, _ in rows)
        lines = [f"{label:<{width}}  {value}" for label, value in rows]
        for finding in self.findings:
            lines += ["", str(finding)]
        if not self.findings:
            lines += ["", "Nothing was found."]
        return "\n".join(lines)


def _rows(d: Diagnosis) -> list[tuple[str, str]]:
    """The table, each number with its unit."""
    epochs = d.timescale_in_epochs
    tau = f"{_number(d.timescale_in_steps)} steps" + (
        "" if epochs is None else f", {_number(epochs)} epochs"
    )
    return [
        ("weight decay before the run", f"{d.base}, {d.steps} steps"),
        ("decay budget Σδ_t", _number(d.budget)),
        ("initial weights left, Π|1 − δ_t|", _number(d.initial_weight_left)),
        ("largest δ_t", _number(d.largest_rate)),
        ("  timescale τ = 1/δ", tau if d.timescale_in_steps is not None else "unknown"),
        ("  τ / length of the run", _number(d.timescale_over_horizon)),
        ("  half-life", _number(d.half_life_in_steps, " steps")),
        ("  equilibrium RMS of normalised layers", _number(d.equilibrium_rms)),
        ("  their rotation per step", _angle(d.equilibrium_rotation)),
        ("leaves pulled", f"{len(d.pulled)} of {d.leaves}"),
    ]


def _number(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:.5g}{unit}"


def _angle(radians: float | None) -> str:
    if radians is None:
        return "unknown"
    return f"{radians:.4g} rad, {math.degrees(radians):.3g}°"
