"""Best decay rates of several configurations: found, and drawn over what differs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.harness.configurations import Configuration
from experiments.harness.findings import shown
from wdjax import stats
from wdjax.plots import style
from wdjax.stats import BestDecays, Interval

FACTORS = ("learning_rate", "batch_size", "examples", "epochs", "width")
SHADES = ("#08306B", "#2171B5", "#6BAED6", "#FD8D3C", "#BD3902")
LAWS = (style.GREEN, style.ORANGE, style.PURPLE)


class Member(NamedTuple):
    """A configuration that differs from the reference in one factor.

    Attributes:
        value: of that factor.
        place: its number among all configurations.
        panel: its sweep.
    """

    value: float
    place: int
    panel: xr.Dataset


def bests(panels: Sequence[xr.Dataset]) -> BestDecays:
    """The best rate of each panel by validation loss; all have the same rates.

    Args:
        panels: from :func:`~experiments.harness.configurations.sweep_rates`.

    Returns:
        A column for each panel.
    """
    losses = np.stack([p.validation_loss.values for p in panels], axis=2)
    diverged = np.stack([p.diverged_at.values >= 0 for p in panels], axis=2)
    return stats.best_decays(panels[0].rate.values, losses, diverged)


def members(sweeps: Mapping[Configuration, xr.Dataset], factor: str) -> list[Member]:
    """The reference, which is first, and those that differ from it in one factor."""
    reference = next(iter(sweeps))
    found = []
    for index, (one, panel) in enumerate(sweeps.items()):
        others = {
            name for name in FACTORS if getattr(one, name) != getattr(reference, name)
        }
        if others <= {factor}:
            found.append(Member(float(getattr(one, factor)), index, panel))
    return sorted(found)


def best_interval(best: BestDecays, index: int, level: float = 0.95) -> Interval:
    """One best rate, with its interval by the jackknife of its logarithm over seeds."""
    value, without = best.values[index], np.log(best.without_seed[:, index])
    factor = np.exp(stats.jackknife(without, level))
    return Interval(float(value), float(value / factor), float(value * factor))


def described(best: BestDecays) -> str:
    """Where the best rates are, and why some are not known."""
    reasons = sorted({str(r) for r in best.censored if r is not None})
    known = best.values[np.isfinite(best.values)]
    where = f"δ* from {known.min():.2g} to {known.max():.2g}" if known.size else "no δ*"
    return f"{where}; censored: {', '.join(reasons)}" if reasons else where


def budgets(panels: Iterable[xr.Dataset]) -> str:
    """The least and the largest budget of all cells."""
    means = [panel.decay_budget.mean("seed") for panel in panels]
    low, high = min(m.min() for m in means), max(m.max() for m in means)
    return f"{float(low):.2g} to {float(high):.2g}"


def paired(a: xr.Dataset, b: xr.Dataset) -> xr.DataArray:
    """Differences of validation loss in nats, seed by seed, at the same rates."""
    gap = a.validation_loss.values - b.validation_loss.values
    return xr.DataArray(gap, dims=("seed", "rate"), coords={"rate": b.rate})


def curves(ax: Axes, panels: Mapping[str, xr.Dataset]) -> None:
    """Validation loss over δ, a curve for each panel, with standard errors.

    Args:
        ax: where to draw.
        panels: by label.
    """
    shades = _shades(len(panels))
    for (label, panel), shade in zip(panels.items(), shades, strict=True):
        losses = panel.validation_loss.values
        mean = losses.mean(axis=0)
        error = (
            losses.std(axis=0, ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else 0
        )
        ax.plot(panel.rate, mean, color=shade, marker="o", markersize=3.5, label=label)
        ax.fill_between(panel.rate, mean - error, mean + error, color=shade, alpha=0.15)
    ax.set(xscale="log", xlabel="decay rate δ of the peak step")
    ax.set_ylabel("validation loss (nats)")
    ax.legend(fontsize=9)


def basins(ax: Axes, found: Sequence[Member], label: str) -> None:
    """:func:`curves` for the values of one factor."""
    curves(ax, {f"{member.value:g}": member.panel for member in found})
    ax.legend(title=label, fontsize=9)
    ax.set_title(f"Basins, by {label}")


def best_rates(
    ax: Axes,
    found: Sequence[Member],
    best: BestDecays,
    *,
    exponent: Interval,
    laws: Mapping[str, float | None],
    label: str,
) -> None:
    """δ* over one factor, the fitted power and what each law says.

    Args:
        ax: where to draw.
        found: the values of the factor.
        best: δ* of all configurations.
        exponent: fitted.
        laws: the exponent that each law predicts.
        label: the factor.
    """
    x = np.array([member.value for member in found])
    rows = [best_interval(best, member.place) for member in found]
    y = np.array([row.estimate for row in rows])
    ends = np.array([[row.estimate - row.low, row.high - row.estimate] for row in rows])
    anchor = np.exp(np.nanmean(np.log(y))) if np.isfinite(y).any() else 1.0
    middle = np.exp(np.mean(np.log(x[np.isfinite(y)] if np.isfinite(y).any() else x)))
    for (name, value), shade in zip(laws.items(), LAWS, strict=True):
        if value is not None:
            said = f"{name}: {value:g}".replace("-", "−")
            power = anchor * (x / middle) ** value
            ax.plot(x, power, color=shade, linestyle="--", linewidth=1.4, label=said)
    if np.isfinite(exponent).all():
        edges = [anchor * (x / middle) ** p for p in (exponent.low, exponent.high)]
        ax.fill_between(x, *edges, color=style.BLUE, alpha=0.15, linewidth=0)
        fit = anchor * (x / middle) ** exponent.estimate
        ax.plot(x, fit, color=style.BLUE, linewidth=1.6)
    ax.errorbar(
        x, y, ends.T, fmt="o", color=style.BLUE, capsize=3, label="measured", zorder=3
    )
    ax.set(xscale="log", yscale="log", xlabel=label, ylabel="best decay rate δ*")
    ax.set_xticks(x, [f"{value:g}" for value in x])
    ax.minorticks_off()
    ax.set_title(f"exponent {shown(exponent, '.2f')}")
    ax.legend(fontsize=8.5)


def identity(ax: Axes, errors: Mapping[str, float], tolerance: float) -> None:
    """Relative errors on a log axis, beside the tolerance."""
    rows = np.arange(len(errors))
    values = np.maximum(list(errors.values()), 1e-9)
    ax.barh(rows, values, height=0.55, color=style.BLUE, left=0)
    ax.axvline(tolerance, color=style.VERMILLION, linestyle="--", linewidth=1.4)
    ax.text(1.2 * tolerance, -0.75, "tolerance", color=style.VERMILLION)
    ax.set_yticks(rows, list(errors))
    ax.set(xscale="log", xlim=(1e-8, 1e-4), ylim=(len(errors) - 0.4, -1.1))
    ax.set_xlabel(r"$\|\theta_T - \mathrm{average}\|/\|\theta_T\|$, float32")
    ax.set_title("The identity")


def _shades(count: int) -> list[str]:
    places = np.linspace(0, len(SHADES) - 1, count).round().astype(int)
    return [SHADES[place] for place in places]
