r"""Weight decay moves where gradient descent ends, and the step size moves it too.

Question.    The lecture draws gradient descent on the empirical risk beside weight
             decay, which pulls to the origin at every step. Where does each end, and
             what does the step size change?
Prediction.  On :math:`R_{emp}(\theta) = \tfrac12(\theta-\theta^*)^\top H
             (\theta-\theta^*)`: with :math:`\lambda`, at
             :math:`(H+\lambda I)^{-1}H\theta^*` for every stable step size; with
             :math:`\lambda'` per step, at the same with
             :math:`\lambda = \lambda'/\alpha`, which moves. At every step closed form
             and iteration agree to 1e-10 (float64); stable iff
             :math:`\alpha(h_{\max}+\lambda) < 2`.
Run.         python -m experiments run lecture_pictures
Cost.        4 s on two CPU cores, compilation included.
Outcome.     All eight sentences PASS: every residual below 1e-14; from α = 0.3 to 0.9
             the limit point moves by 0 with λ fixed and by 0.5577, as predicted, with
             λ' fixed (deterministic, no seeds; 2-dimensional quadratic; 2026-11-22).
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import wdjax
from experiments.harness.findings import (
    Finding,
    Outcome,
    at_most,
    equality,
    inequality,
    judged,
)
from experiments.harness.iterates import iterates
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.plots import quadratics, style
from wdjax.theory import quadratic

SECONDS = 5
CLAIM = (
    "Gradient descent with an L2 penalty ends at (H + λI)⁻¹Hθ* whatever the step size; "
    "with a fixed decay λ' per step it ends there for λ = λ'/α, which moves with it."
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines the pictures; nothing is read from elsewhere."""

    curvatures: tuple[float, float] = (0.8, 0.1)
    steepest_direction: float = 0.3  # radians from the θ₁ axis
    theta_star: tuple[float, float] = (2.3, 1.7)
    theta_0: tuple[float, float] = (-1.1, 2.6)
    learning_rate: float = 0.3
    large_learning_rate: float = 0.9
    small_l2: float = 0.05
    large_l2: float = 0.8
    decay_rate: float = 0.12  # λ' of Hanson & Pratt, removed per step
    num_steps: int = 2_000
    shown_steps: int = 120


SMOKE = dataclasses.replace(Config(), num_steps=1_200, shown_steps=20)

TOLERANCES = tolerances("lecture_pictures")
NOTES = "float64; a quadratic in two dimensions; deterministic, so there is no interval"
CONVENTION = "λ of ½λ‖θ‖² in the loss; λ' the fraction removed per step"


class Problem(NamedTuple):
    """The empirical risk and where training begins."""

    H: Float[Array, "2 2"]
    theta_star: Float[Array, " 2"]
    theta_0: Float[Array, " 2"]


class Run(NamedTuple):
    """One optimizer's iterates, and the closed form of the same steps."""

    l2: float
    learning_rate: float
    iterates: Float[np.ndarray, "steps 2"]
    closed_form: Float[np.ndarray, "steps 2"]
    limit: Float[np.ndarray, " 2"]


def make_problem(config: Config) -> Problem:
    """The quadratic, from its spectrum: H = Q diag(h) Qᵀ."""
    angle = config.steepest_direction
    Q = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    H = Q @ jnp.diag(jnp.array(config.curvatures)) @ Q.T
    return Problem(H, jnp.array(config.theta_star), jnp.array(config.theta_0))


def iterate(
    optimizer: optax.GradientTransformation, problem: Problem, num_steps: int
) -> Float[np.ndarray, "steps 2"]:
    """What the optimizer visits, the initial parameters first."""
    H, theta_star, theta_0 = problem

    def risk(theta):
        return (theta - theta_star) @ H @ (theta - theta_star) / 2

    visited = iterates(optimizer, risk, theta_0, num_steps)
    return np.concatenate([np.asarray(theta_0)[None], np.asarray(visited)])


def follow(
    optimizer: optax.GradientTransformation,
    problem: Problem,
    l2: float,
    learning_rate: float,
    num_steps: int,
) -> Run:
    """Iterate, and beside it evaluate the closed form at the same steps."""
    H, theta_star, theta_0 = problem
    closed = jax.vmap(
        lambda t: quadratic.trajectory(H, theta_star, l2, learning_rate, theta_0, t)
    )(jnp.arange(num_steps + 1))
    limit = quadratic.limit_point(H, theta_star, l2)
    iterates = iterate(optimizer, problem, num_steps)
    return Run(l2, learning_rate, iterates, np.asarray(closed), np.asarray(limit))


class Runs(NamedTuple):
    """Every run that a panel draws or a finding judges."""

    plain: Run
    small: Run
    large: Run
    l2: tuple[Run, Run]  # λ fixed, two step sizes
    decay: tuple[Run, Run]  # λ' fixed, two step sizes


def make_runs(config: Config, problem: Problem) -> Runs:
    """Train with wdjax's own optimizers."""
    alpha, num_steps = config.learning_rate, config.num_steps
    alphas = (alpha, config.large_learning_rate)

    def coupled(l2: float, alpha: float) -> Run:
        return follow(wdjax.sgd_l2(alpha, l2), problem, l2, alpha, num_steps)

    def decoupled(alpha: float) -> Run:
        decay_rate = config.decay_rate
        sgdw = wdjax.sgdw(alpha, decay_rate, convention=wdjax.CONSTANT)
        return follow(sgdw, problem, decay_rate / alpha, alpha, num_steps)

    small, large = (coupled(l2, alpha) for l2 in (config.small_l2, config.large_l2))
    common = config.decay_rate / alpha  # at the small step size λ and λ' are the same
    return Runs(
        plain=coupled(0.0, alpha),
        small=small,
        large=large,
        l2=(coupled(common, alphas[0]), coupled(common, alphas[1])),
        decay=(decoupled(alphas[0]), decoupled(alphas[1])),
    )


XLIM, YLIM = (-1.55, 3.25), (-1.3, 3.2)
LEVELS = tuple(np.array([0.15, 0.4, 0.7, 1.05, 1.45, 1.9, 2.4, 2.95]) ** 2 / 2)
FIRST, SECOND = style.BLUE, style.VERMILLION  # of two settings in one panel
TITLES = (
    r"(a) gradient descent on $R_\mathrm{emp}$",
    r"(b) weight decay on $R_\mathrm{emp}$",
    r"(c) small $\lambda$ beside large $\lambda$",
    r"(d) the limit, $\lambda$ from 0 to $\infty$",
    r"(e) $\lambda$ fixed: the limit stays",
    r"(f) $\lambda'$ fixed: the limit moves",
)
CAPTION = (
    r"dots: steps of wdjax.sgd_l2 and wdjax.sgdw    lines: closed form    crosses: "
    r"$(H+\lambda I)^{-1}H\theta^*$    dashes: the limit, $0\leq\lambda\leq\infty$"
)


def _landscape(ax: Axes, problem: Problem, title: str) -> None:
    H, theta_star = np.asarray(problem.H), np.asarray(problem.theta_star)
    quadratics.contours(ax, H, theta_star, xlim=XLIM, ylim=YLIM, levels=LEVELS)
    ax.axhline(0, color=style.PALE, linewidth=0.6, zorder=0)
    ax.axvline(0, color=style.PALE, linewidth=0.6, zorder=0)
    quadratics.point(ax, theta_star, r"$\theta^*$", offset=(9, 5), marker="*", size=12)
    quadratics.point(ax, np.zeros(2), "0", offset=(-7, -9), marker="o", size=6)
    ax.set(title=title, xticks=[-1, 0, 1, 2, 3], yticks=[0, 1, 2, 3])
    ax.label_outer()


def _run(ax: Axes, run: Run, shown: int, *, label: str, colour: str) -> None:
    steps = slice(None, shown + 1)
    line = {"marker": "", "linewidth": 1.0, "label": "_nolegend_"}
    dots = {"linestyle": "none", "markersize": 3.6, "label": label}
    quadratics.trajectory(ax, run.closed_form[steps], colour=colour, **line)
    quadratics.trajectory(ax, run.iterates[steps], colour=colour, **dots)
    start = {"marker": "s", "size": 6, "offset": (-1, 10)}
    quadratics.point(ax, run.iterates[0], r"$\theta_0$", **start)


def _cross(ax: Axes, run: Run, *, colour: str, size: float | int = 9) -> None:
    quadratics.point(ax, run.limit, "", colour=colour, marker="X", size=size)


def _limit_path(ax: Axes, problem: Problem) -> None:
    l2s = jnp.array([0.0, *np.logspace(-4, 4, 400), np.inf])
    path = quadratic.path(problem.H, problem.theta_star, l2s)
    quadratics.limit_path(ax, np.asarray(path), label="_nolegend_")


def _draw_pulls(ax: Axes, run: Run, decay_rate: float, steps: Sequence[int]) -> None:
    theta = run.iterates[np.array(steps)]
    rays = np.stack([theta, np.zeros_like(theta)], axis=1)
    look = {"colors": SECOND, "linewidths": 0.7, "linestyles": (0, (1, 2)), "zorder": 2}
    ax.add_collection(LineCollection(list(rays), **look))
    quadratics.pulls(ax, theta, -decay_rate * theta, label="_nolegend_", colour=SECOND)
    handle = {"color": SECOND, "marker": r"$\rightarrow$", "markersize": 13}
    label = r"pull $-\lambda'\theta_t$, some steps"
    ax.plot([], [], linestyle="none", label=label, **handle)


def _draw_path(ax: Axes, problem: Problem, l2s: Sequence[float]) -> None:
    _limit_path(ax, problem)
    marked = quadratic.path(problem.H, problem.theta_star, jnp.array(l2s))
    for l2, theta in zip(l2s, np.asarray(marked), strict=True):
        look = {"offset": (8, -5), "marker": "X", "size": 9}
        quadratics.point(ax, theta, rf"$\lambda$ = {l2:g}", **look)


def _draw_pair(
    ax: Axes, problem: Problem, pair: tuple[Run, Run], shown: int, label: str
) -> None:
    _limit_path(ax, problem)
    for run, colour, size in zip(pair, (FIRST, SECOND), (12, 7), strict=True):
        name = label.format(l2=run.l2, alpha=run.learning_rate)
        _run(ax, run, shown, label=name, colour=colour)
        _cross(ax, run, colour=colour, size=size)


def draw(config: Config, problem: Problem, runs: Runs) -> Figure:
    """The lecture's six pictures."""
    figure = Figure(figsize=(10.5, 7.7), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for ax, title in zip(axes.flat, TITLES, strict=True):
        _landscape(ax, problem, title)
    (a, b, c), (d, e, f) = axes
    shown = config.shown_steps

    alpha = rf"$\alpha$ = {config.learning_rate:g}"
    _run(a, runs.plain, shown, label=alpha, colour=FIRST)
    look = {"marker": "", "linewidth": 1.2, "colour": style.GREY}
    quadratics.trajectory(b, runs.plain.iterates, label="the path of (a)", **look)
    pulled = rf"{alpha}, $\lambda'$ = {config.decay_rate:g}"
    _run(b, runs.decay[0], shown, label=pulled, colour=FIRST)
    _cross(b, runs.decay[0], colour=FIRST)
    _draw_pulls(b, runs.decay[0], config.decay_rate, (0, 1, 2, 4, 8))
    _draw_pair(c, problem, (runs.small, runs.large), shown, r"$\lambda$ = {l2:g}")
    _draw_path(d, problem, (0.1, 0.3, 0.8, 2.0))
    _draw_pair(e, problem, runs.l2, shown, r"$\alpha$ = {alpha:g}")
    _draw_pair(f, problem, runs.decay, shown, r"$\alpha$ = {alpha:g}")
    for ax in (a, b, c, e, f):
        ax.legend(loc="lower left", labelspacing=0.25, frameon=True, edgecolor="none")
    figure.supxlabel(CAPTION, fontsize=10)
    return figure


def residual(run: Run) -> float:
    """The largest distance, over all steps, of an iterate from its closed form."""
    return float(np.abs(run.iterates - run.closed_form).max())


def move(pair: tuple[Run, Run]) -> Float[np.ndarray, " 2"]:
    """From the end of training at one step size to the end at the other."""
    return pair[1].iterates[-1] - pair[0].iterates[-1]


def growth_error(config: Config, problem: Problem, multiple: float) -> float:
    """How far the growth per step is from |1 − 2k|, at k times the stable step size.

    From one unit off the limit along the steepest direction, where
    |1 − α(h_max + λ)| is all that happens; it passes 1 at k = 1.
    """
    l2 = config.small_l2
    steepest = jnp.linalg.eigh(problem.H)[1][:, -1]
    limit = quadratic.limit_point(problem.H, problem.theta_star, l2)
    alpha = float(multiple * quadratic.stable_learning_rate(problem.H, l2))
    start = problem._replace(theta_0=limit + steepest)
    theta = iterate(wdjax.sgd_l2(alpha, l2), start, num_steps=20)
    distance = np.linalg.norm(theta - np.asarray(limit), axis=1)
    return float(np.abs(distance[1:] / distance[:-1] - abs(1 - 2 * multiple)).max())


def equalities(config: Config, problem: Problem, runs: Runs) -> list[Finding]:
    """The lecture's sentences that are equalities."""
    coupled = (runs.plain, runs.small, runs.large, *runs.l2)
    ends = [run.iterates[-1] - run.limit for run in (*coupled, *runs.decay)]
    predicted_move = runs.decay[1].limit - runs.decay[0].limit
    tolerance = TOLERANCES["closed_form"]

    def zero(claim: str, predicted: str, error: float) -> Finding:
        return equality(
            claim,
            error,
            tolerance,
            predicted=predicted,
            convention=CONVENTION,
            notes=NOTES,
        )

    return [
        zero(
            "SGD with an L2 penalty λ follows the closed form at every step.",
            "θ_t = θ_∞ + (I − α(H+λI))^t (θ₀ − θ_∞)",
            max(map(residual, coupled)),
        ),
        zero(
            "A decay of λ' per step is the penalty λ = λ'/α, at every step.",
            "the same θ_t, with λ = λ'/α",
            max(map(residual, runs.decay)),
        ),
        zero(
            "Both end at the limit point.",
            "(H+λI)⁻¹Hθ*",
            float(np.abs(ends).max()),
        ),
        zero(
            "With λ fixed the limit point stays when the step size changes.",
            "moves by 0",
            float(np.linalg.norm(move(runs.l2))),
        ),
        zero(
            "With λ' fixed the limit point moves as λ = λ'/α says.",
            f"moves by {np.linalg.norm(predicted_move):.4f}",
            float(np.linalg.norm(move(runs.decay) - predicted_move)),
        ),
        zero(
            "Gradient descent is stable up to α(h_max + λ) = 2 and not beyond.",
            "growth per step 0.98 at 0.99 of it, 1.02 at 1.01 of it",
            max(growth_error(config, problem, k) for k in (0.99, 1.01)),
        ),
    ]


def inequalities(runs: Runs) -> list[Finding]:
    """The lecture's sentences that are inequalities."""
    length = float(np.linalg.norm(move(runs.decay)))
    least = TOLERANCES["moves_at_least"]
    differing = (runs.plain, runs.small, runs.large, *runs.decay)
    ordered = sorted(differing, key=lambda run: run.l2)
    norms = [float(np.linalg.norm(run.iterates[-1])) for run in ordered]
    return [
        inequality(
            "With λ' fixed the limit point moves when the step size changes.",
            length,
            least,
            predicted="moves by",
            measured=f"moves by {length:.4f}",
            convention=CONVENTION,
            notes=NOTES,
        ),
        judged(
            "The larger λ, the nearer the origin training ends.",
            at_most(0.0),
            stats.exact(np.diff(norms).max()),
            predicted="‖θ_∞‖ falls as λ grows",
            measured=", ".join(
                f"{n:.3f} at {r.l2:.3g}" for n, r in zip(norms, ordered, strict=True)
            ),
            convention=CONVENTION,
            notes=NOTES,
        ),
    ]


def run(config: Config, workspace: Workspace) -> Outcome:
    """Train, judge and draw.

    Args:
        config: the experiment.
        workspace: gets ``lecture_pictures.svg`` and ``.png``, and a line per stage.

    Returns:
        One finding per sentence.
    """
    with jax.enable_x64(True), style.context():
        workspace.say("training on the quadratic")
        problem = make_problem(config)
        runs = make_runs(config, problem)
        findings = [*equalities(config, problem, runs), *inequalities(runs)]
        workspace.say("drawing")
        workspace.save_figure(draw(config, problem, runs), "lecture_pictures")
    return Outcome(findings)
