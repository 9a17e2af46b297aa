r"""Do weights act as a gradient would? Then there is an L2 penalty in front.

With :math:`g + λ_2 θ` for the gradient, a change :math:`v` of the weights is one
:math:`λ_2 v` of the gradient, in this update and in all later ones.
"""

from collections.abc import Callable, Sequence

import numpy as np

from wdjax.inspect.auditing.laboratory import Box, Leaves, minus, plus
from wdjax.inspect.auditing.response import Coupling
from wdjax.inspect.auditing.trial import Draws, Path, Shapes, Trial, drawn, zeros

CHANGED = (0, 2)  # the steps at which weights and gradients are changed
PENALTIES = np.logspace(-8, 3, 23)


def coupling(trial: Trial, elsewhere: Trial) -> list[Coupling]:
    """Fit λ₂ to each leaf's responses.

    Args:
        trial: the optimizer, on a path.
        elsewhere: with other sizes of weights and gradients.
    """
    fits, curves = zip(*(_at(trial, elsewhere, s) for s in CHANGED), strict=True)
    found = []
    for i in range(len(trial.path.start)):
        worst = max((fit[i] for fit in fits), key=lambda f: f.misfit)
        l2 = [fit[i].l2 for fit in fits]
        spread = abs(l2[0] - l2[1]) / (max(map(abs, l2)) or 1.0)
        found.append(
            Coupling(
                l2=worst.l2,
                besides=worst.besides,
                misfit=max(worst.misfit, spread),
                in_full=max(fit[i].in_full for fit in fits),
                curved=max(curved[i] for curved in curves),
            )
        )
    return found


def flips(box: Box, shapes: Shapes) -> list[float]:
    r"""The λ₂ for which the gradient :math:`-λ_2 θ` is no gradient; 0 if there is none.

    A method that goes by signs has no derivative, but turns round there.
    """
    theta = drawn(shapes, 1, seed=7).thetas[0]

    def outward(l2: float, size: float = 1.0) -> list[float]:
        weights = [size * a for a in theta]
        g = [-l2 * a for a in weights]
        path = Path(theta, [weights] * 3, [g] * 3)
        u = Trial(box, path).updates[-1]
        return [float(np.vdot(a, b)) for a, b in zip(u, theta, strict=True)]

    inward = outward(float(PENALTIES[0]))
    if all(out >= 0 for out in inward):
        return [0.0] * len(shapes)
    outs = np.array([outward(float(l2)) for l2 in PENALTIES])
    return [_turn(outward, outs, i) for i in range(len(shapes))]


def _turn(outward: Callable[..., list[float]], outs: np.ndarray, leaf: int) -> float:
    """Where a leaf turns round from full speed to full speed; 0 if it never does."""
    signs = np.sign(outs[:, leaf])
    turns = np.flatnonzero((signs[:-1] < 0) & (signs[1:] > 0))
    if not len(turns):
        return 0.0
    low, high = PENALTIES[turns[0]], PENALTIES[turns[0] + 1]
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if outward(middle)[leaf] < 0 else (low, middle)
    l2 = float(np.sqrt(low * high))
    before, after, far = (outward(k * l2)[leaf] for k in (0.99, 1.01, 10.0))
    same = after - before > far and abs(after - far) < 1e-3 * (after - before)
    twice = [outward(k * l2, 2.0)[leaf] for k in (0.99, 1.01)]
    return l2 if same and twice[0] < 0 < twice[1] else 0.0


def _at(
    trial: Trial, elsewhere: Trial, step: int
) -> tuple[list[Coupling], list[float]]:
    """Each leaf's fit to a change in one step; how unlike responses are elsewhere."""
    v = Draws([a.shape for a in trial.path.start], 40 + step).next()
    still = zeros(v)
    of_g = trial.derivatives(step, still, v)
    there = elsewhere.derivatives(step, still, v)
    curved = [
        _relative([a[i] for a in of_g], [b[i] for b in there]) for i in range(len(v))
    ]
    return _fits(trial, step, v, of_g), curved


def _fits(trial: Trial, step: int, v: Leaves, of_g: list[Leaves]) -> list[Coupling]:
    of_theta = trial.derivatives(step, v, zeros(v))
    fits = [
        _fit([d[i] for d in of_theta], [d[i] for d in of_g], v[i])
        for i in range(len(v))
    ]
    in_full = _in_full(trial, step, v, fits)
    return [
        Coupling(l2, besides, misfit, full, 0.0)
        for (l2, besides, misfit), full in zip(fits, in_full, strict=True)
    ]


def _fit(
    of_theta: list[np.ndarray], of_g: list[np.ndarray], v: np.ndarray
) -> tuple[float, float, float]:
    """λ₂, δ besides, and the fraction that neither explains."""
    size = _norm(of_theta)
    later, of_later_g = of_theta[1:], of_g[1:]
    if size == 0:
        return 0.0, 0.0, 1.0
    if _norm(later) > 1e-9 * size and _norm(of_later_g) > 0:
        l2 = _dot(later, of_later_g) / _dot(of_later_g, of_later_g)
        rest = of_theta[0] - l2 * of_g[0]
        besides = -float(np.vdot(rest, v) / np.vdot(v, v))
    else:
        energy = float(np.vdot(of_g[0], of_g[0]))
        l2 = float(np.vdot(of_theta[0], of_g[0])) / energy if energy else 0.0
        besides = 0.0
    left = plus(later, of_later_g, -l2)
    return l2, besides, _norm([of_theta[0] - l2 * of_g[0] + besides * v, *left]) / size


def _in_full(
    trial: Trial, step: int, v: Leaves, fits: list[tuple[float, float, float]]
) -> list[float]:
    """The misfit for a finite change: u(θ + v, g) against u(θ, g + λ₂v) − δv."""
    as_g = [l2 * d for (l2, _, _), d in zip(fits, v, strict=True)]
    moved, pushed = trial.changed(step, v), trial.changed(step, zeros(v), as_g)
    pushed[0] = [
        u - besides * d
        for u, (_, besides, _), d in zip(pushed[0], fits, v, strict=True)
    ]
    base = trial.updates[step:]
    sizes = [_size(minus(a, b)) for a, b in zip(moved, base, strict=True)]
    gaps = [_size(minus(a, b)) for a, b in zip(moved, pushed, strict=True)]
    return [
        max(gap[i] for gap in gaps) / (max(size[i] for size in sizes) or 1.0)
        for i in range(len(v))
    ]


def _relative(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    size = max(_norm(a), _norm(b))
    return _norm([x - y for x, y in zip(a, b, strict=True)]) / size if size else 0.0


def _norm(parts: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(_dot(parts, parts)))


def _dot(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Of vectors in parts, which are not copied into one."""
    return sum(float(np.vdot(x, y)) for x, y in zip(a, b, strict=True))


def _size(leaves: Leaves) -> list[float]:
    return [float(np.linalg.norm(a)) for a in leaves]
