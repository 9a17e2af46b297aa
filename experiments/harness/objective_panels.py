"""Panels of ``what_objective``: limit points against noise, and singular values."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from wdjax import stats
from wdjax.plots import points, style
from wdjax.theory import objective

ASIDE = (-6.0, 0.0, 6.0, 0.0)  # printer's points, so that all marks are seen


def limit_points(
    ax: Axes,
    h: float,
    theta_star: float,
    *,
    weight_decay: float,
    noises: Sequence[float],
    samples: Mapping[str, Float[np.ndarray, "chains noises"]],
) -> None:
    """One mode's limit points against σ, with AdamW's curve and both its limits.

    Args:
        ax: where to draw.
        h: the mode's curvature.
        theta_star: its minimiser.
        weight_decay: λ of all methods.
        noises: levels σ, rising from 0.
        samples: of each method, in the order of :data:`wdjax.plots.style.METHODS`.
    """
    lam = weight_decay
    sigma = np.concatenate(
        [np.linspace(0, noises[1], 40), np.geomspace(noises[1], 1.5 * noises[-1], 120)]
    )
    curve = objective.adamw(*(jnp.full(160, x) for x in (h, theta_star)), lam, sigma)
    grey = {"color": style.GREY, "linewidth": 1.1}
    clipped = np.clip(theta_star, -1 / lam, 1 / lam)
    ax.axhline(clipped, linestyle="--", label="clip(θ*, ±1/λ)", **grey)
    noisy = h * theta_star / (h + lam * sigma)
    ax.plot(sigma, noisy, linestyle=":", label="hθ*/(h + λσ)", **grey)
    ridge = h * theta_star / (h + lam)
    ax.axhline(ridge, color=style.INK, linewidth=1.2, label="ridge, hθ*/(h + λ)")
    ax.plot(sigma, curve, color=style.METHODS["AdamW"].colour, linewidth=1.6)
    for (name, found), aside in zip(samples.items(), ASIDE, strict=True):
        intervals = [stats.mean_interval(x) for x in found.T]
        points.points(ax, np.array(noises), intervals, method=name, aside=aside)
    points.noise_axis(ax, noises)


def spectra(
    ax: Axes,
    singular_values: Sequence[float],
    l2: float,
    found: Mapping[str, Float[np.ndarray, "starts s"]],
) -> None:
    """Singular values of AB against those of Y; all starts on top of each other.

    Args:
        ax: where to draw.
        singular_values: of Y.
        l2: λ of both factors.
        found: those of AB, as ``samples`` above.
    """
    s = np.array(singular_values)
    grid = np.linspace(0, 1.08 * s.max(), 200)
    shrunk = np.asarray(objective.soft_threshold(jnp.array(grid), l2))
    ax.plot(grid, grid, color=style.METHODS["AdamW"].colour, linewidth=1.6)
    ax.plot(grid, shrunk, color=style.INK, linewidth=1.2)
    for (name, starts), aside in zip(found.items(), ASIDE, strict=True):
        for start in starts:
            exact = [stats.exact(x) for x in start]
            points.points(ax, s, exact, method=name, aside=aside)
    ax.text(0.6 * s.max(), 0.68 * s.max(), "s", ha="right")
    ax.text(0.74 * s.max(), 0.47 * s.max(), f"(s − λ)₊, λ = {l2:g}")
    ax.set(xlabel="singular value s of Y", ylabel="singular value of AB")
