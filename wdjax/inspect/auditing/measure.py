"""Measuring a black box's responses."""

from dataclasses import replace
from typing import Any

import numpy as np

from wdjax.inspect.auditing.laboratory import Leaves, minus, plus
from wdjax.inspect.auditing.response import Response
from wdjax.inspect.auditing.trial import (
    STEPS,
    Draws,
    Path,
    Shapes,
    Trial,
    across,
    drawn,
    half,
    zeros,
)

FOLLOWED = range(STEPS - 1)  # the steps whose changes are followed into later updates
ENTRIES = (0, 1, 2, 3)  # the steps in which single entries are changed
HUGE = 1e12  # times as large as all else, so that what limits an update shows
Numbers = list[dict[str, Any]]


def measure(trial: Trial, elsewhere: Trial, epsilon: float) -> list[Response]:
    """Measure the response of each leaf.

    Args:
        trial: the optimizer, on a path.
        elsewhere: with other sizes of weights and gradients.
        epsilon: of the type that it computes in.
    """
    shapes = [a.shape for a in trial.path.start]
    now = _now(trial)
    there = rates(elsewhere)
    parts = [
        now,
        _kept(trial),
        _of_start_and_all(trial),
        _entries(trial),
        _rest(trial, [numbers["rates"] for numbers in now]),
        _extremes(trial, shapes),
        _huge(trial, [numbers["rates"] for numbers in now]),
    ]
    found = []
    for i in range(len(shapes)):
        numbers = {name: value for part in parts for name, value in part[i].items()}
        updates = [u[i] for u in trial.updates]
        size = max(float(np.max(np.abs(u))) for u in updates)
        found.append(
            Response(
                **numbers,
                rates_elsewhere=there[i],
                noise=100 * epsilon * (size + float(np.max(np.abs(numbers["rates"])))),
                finite=all(bool(np.isfinite(u).all()) for u in updates),
                followed=_followed(updates, numbers["rates"]),
            )
        )
    return found


def _now(trial: Trial) -> Numbers:
    """Responses in the same update, to changes across all that is known."""
    numbers, off, curved = [], [], []
    for t, v in enumerate(trial.directions):
        K, far = (_odd(trial, t, v, size) for size in (1.0, 3.0))
        numbers.append(along(K, v))
        off.append(_off_line(K, v))
        curved.append(_ratios(minus(far, K), v))
    return [
        {
            "rates": np.array([r[i] for r in numbers]),
            "off_line": max(o[i] for o in off),
            "curved": max(c[i] for c in curved),
        }
        for i in range(len(trial.path.start))
    ]


def rates(trial: Trial) -> list[np.ndarray]:
    """δ_t of each leaf, in every step."""
    found = []
    for t, v in enumerate(trial.directions):
        found.append(along(_odd(trial, t, v), v))
    return list(np.array(found).T)


def _kept(trial: Trial) -> Numbers:
    """Responses of later updates."""
    sizes, rates, off = [], [], []
    for s in FOLLOWED:
        v = trial.directions[s]
        for K in trial.impulse(s, v)[1:]:
            sizes.append(_ratios(K, v))
            rates.append(along(K, v))
            off.append(_off_line(K, v))
    return [
        {
            "kept": max(x[i] for x in sizes),
            "kept_rates": (min(x[i] for x in rates), max(x[i] for x in rates)),
            "kept_off_line": max(x[i] for x in off),
        }
        for i in range(len(trial.path.start))
    ]


def _of_start_and_all(trial: Trial) -> Numbers:
    """Responses to the first weights, and to all weights moved alike."""
    v = _normal(trial.path.start, seed=3)
    of_start = [_ratios(K, v) for K in trial.impulse_at_start(v)]
    up, down = (
        Trial(trial.box, _moved(trial.path, [sign * d for d in v])).updates
        for sign in (1.0, -1.0)
    )
    of_all = [_ratios(half(a, b), v) for a, b in zip(up, down, strict=True)]
    return [
        {
            "of_start": max(x[i] for x in of_start),
            "of_all": max(x[i] for x in of_all),
        }
        for i in range(len(v))
    ]


def _entries(trial: Trial) -> Numbers:
    """What single entries do to each other, and each to itself."""
    talk, ones, ungated, half = [], [], [], []
    still = zeros(trial.path.start)
    for t in ENTRIES:
        v = _normal(trial.path.start, seed=10 + t)
        for parity in (0, 1):
            some = [_every_second(d.shape, parity) for d in v]
            K = _odd(trial, t, [d * m for d, m in zip(v, some, strict=True)])
            others = [k * (1 - m) for k, m in zip(K, some, strict=True)]
            talk.append(_ratios(others, v))
        unit = [np.ones_like(d) for d in v]
        ones.append(_ratios(_odd(trial, t, unit), unit))
        steepness = [
            np.abs(d / x)
            for d, x in zip(trial.derivatives_now(t, v, still), v, strict=True)
        ]
        ungated.append([_mean(s > 1e-3 * s.max()) for s in steepness])
        half.append([_between(s) for s in steepness])
    return [
        {
            "crosstalk": max(x[i] for x in talk),
            "of_ones": max(x[i] for x in ones),
            "ungated": min(x[i] for x in ungated),
            "half_gated": max(x[i] for x in half),
        }
        for i in range(len(still))
    ]


def _rest(trial: Trial, rates: list[np.ndarray]) -> Numbers:
    """What follows the weights besides the decay; and whether gradients count."""
    of_step, of_gradient, of_length = [], [], []
    for t in range(len(trial.path)):
        theta, g = trial.path.thetas[t], trial.path.gradients[t]
        v = _normal(theta, seed=20 + t)
        du = minus(trial.now(t, plus(theta, v)), trial.updates[t])
        across_u = [across(d, [u]) for d, u in zip(du, trial.updates[t], strict=True)]
        of_length.append(_ratios(across_u, v))
        decay = [rate[t] * d for rate, d in zip(rates, v, strict=True)]
        of_step.append(_ratios(plus(du, decay), v))
        dg = minus(trial.now(t, theta, plus(g, v)), trial.updates[t])
        of_gradient.append(_ratios(dg, v))
    return [
        {
            "of_step": max(x[i] for x in of_step),
            "of_gradient": max(x[i] for x in of_gradient),
            "of_length": max(x[i] for x in of_length),
        }
        for i in range(len(rates))
    ]


def _extremes(trial: Trial, shapes: Shapes) -> Numbers:
    """Large weights, weights near 0, and none at all."""
    large = drawn(shapes, STEPS, seed=4, weights=100.0)
    sizes = 2.0 ** np.arange(-STEPS // 2, STEPS - STEPS // 2)
    thetas = [
        [k * a for a in tree] for k, tree in zip(sizes, large.thetas, strict=True)
    ]
    led = [
        plus(theta, u)
        for theta, u in zip(
            thetas,
            Trial(trial.box, replace(large, thetas=thetas)).updates,
            strict=True,
        )
    ]
    near = drawn(shapes, 1, seed=5, weights=1e-6, gradients=0.0)
    after = plus(near.thetas[0], Trial(trial.box, near).updates[0])
    nothing = drawn(shapes, STEPS, seed=6, weights=0.0, gradients=0.0)
    at_zero = Trial(trial.box, nothing).updates
    theta = trial.path.thetas[-1]
    ten, hundred = (
        _odd(trial, len(trial.path) - 1, theta, size=s, around_zero=True)
        for s in (10.0, 100.0)
    )
    return [
        {
            "norm_spread": _spread([np.linalg.norm(p[i]) for p in led]),
            "snapped": _mean(after[i] == 0),
            "at_zero": _steady([u[i] for u in at_zero]),
            "constant": _constant(10 * ten[i], 100 * hundred[i]),
        }
        for i in range(len(shapes))
    ]


def _huge(trial: Trial, rates: list[np.ndarray]) -> Numbers:
    """δ of huge weights, in the step in which that of others is largest."""
    steps = [int(np.argmax(np.abs(rate))) for rate in rates]
    found = {
        t: along(_odd(trial, t, theta, HUGE, around_zero=True), theta)
        for t in set(steps)
        for theta in [trial.path.thetas[t]]
    }
    return [{"rate_of_huge": found[t][i]} for i, t in enumerate(steps)]


def _odd(
    trial: Trial, t: int, v: Leaves, size: float = 1.0, *, around_zero: bool = False
) -> Leaves:
    theta = zeros(v) if around_zero else trial.path.thetas[t]
    up, down = (trial.now(t, plus(theta, v, sign * size)) for sign in (1.0, -1.0))
    return half(up, down, size)


def _moved(path: Path, v: Leaves) -> Path:
    thetas = [plus(theta, v) for theta in path.thetas]
    return replace(path, start=plus(path.start, v), thetas=thetas)


def _normal(like: Leaves, seed: int) -> Leaves:
    return Draws([a.shape for a in like], seed).next()


def _every_second(shape: tuple[int, ...], parity: int) -> np.ndarray:
    return (np.indices(shape).sum(axis=0) % 2 == parity).astype(float)


def along(K: Leaves, v: Leaves) -> list[float]:
    """−⟨K, v⟩/‖v‖² of each leaf: δ, where K is the response to v."""
    return [-float(np.vdot(k, d) / np.vdot(d, d)) for k, d in zip(K, v, strict=True)]


def _off_line(K: Leaves, v: Leaves) -> list[float]:
    return _ratios([k + r * d for k, d, r in zip(K, v, along(K, v), strict=True)], v)


def _ratios(a: Leaves, b: Leaves) -> list[float]:
    return [
        float(np.sqrt(np.vdot(x, x) / np.vdot(y, y))) for x, y in zip(a, b, strict=True)
    ]


def _between(steepness: np.ndarray) -> float:
    largest = float(steepness.max())
    if largest == 0:
        return 0.0
    return float(np.max(np.minimum(steepness, largest - steepness))) / largest


def _spread(norms: list[Any]) -> float:
    mean = float(np.mean(norms))
    return float(np.std(norms)) / mean if mean else 0.0


def _steady(updates: list[np.ndarray]) -> float:
    """The size of updates that all point the same way, else 0: noise does not."""
    largest = max(updates, key=lambda u: float(np.max(np.abs(u))))
    sizes = np.array([np.vdot(u, largest) for u in updates])
    energy = float(np.vdot(largest, largest))
    if not (energy > 0 and (sizes >= 0).all()):
        return 0.0
    off = [u - k / energy * largest for u, k in zip(updates, sizes, strict=True)]
    size = float(np.max(np.abs(largest)))
    steps = np.diff(sizes) / energy
    ordered = (steps >= -1e-3).all() or (steps <= 1e-3).all()  # of a single entry
    same = all(float(np.max(np.abs(d))) <= 1e-3 * size for d in off)
    return size if same and (largest.size > 1 or ordered) else 0.0


def _followed(updates: list[np.ndarray], rates: np.ndarray) -> bool:
    """Whether any update after the first that responds is not 0."""
    on = np.flatnonzero(np.abs(rates) > 1e-6 * np.abs(rates).max())
    return not len(on) or any(bool(np.any(u)) for u in updates[on[0] + 1 :])


def _constant(ten: np.ndarray, hundred: np.ndarray) -> float:
    """The pull on large weights, if 9 in 10 of those pulled do not feel their size."""
    size = np.abs(hundred)
    pulled = size > 1e-3 * size.max()
    same = np.abs(hundred - ten) <= 1e-3 * size
    mostly = pulled.any() and _mean(same[pulled]) > 0.9
    return float(np.median(size[pulled])) if mostly else 0.0


def _mean(which: np.ndarray) -> float:
    return float(np.mean(which))
