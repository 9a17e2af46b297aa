"""Random settings of the explorer, on the grids of its sliders, and wdjax' answer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import wdjax

METHODS = "sgd_l2", "sgdw", "adam_l2", "adamw"
CONVENTIONS = "OPTAX", "PAPER", "CONSTANT", "CORRECTED", "SQUARED"
LONGEST = 300

# Rates at step t of T, in float64; Optax's own schedules are float32.
SCHEDULES = {
    "constant": lambda t, T: np.ones(len(t)),
    "step": lambda t, T: np.where(t < T // 2, 1.0, np.where(t < 3 * T // 4, 0.1, 0.01)),
    "cosine": lambda t, T: (1 + np.cos(np.pi * t / T)) / 2,
}


def draw(rng, method, convention, schedule):
    """One setting, each value from its slider's grid."""

    def on_log_grid(low, high):
        return float(10 ** (rng.integers(round(low * 20), round(high * 20) + 1) / 20))

    def point():
        return [float(rng.integers(-26, 27) / 10), float(rng.integers(-19, 20) / 10)]

    return {
        "method": method,
        "convention": convention,
        "schedule": schedule,
        "alpha": on_log_grid(-3, 0.5),
        "lambda": 0.0 if rng.random() < 0.05 else on_log_grid(-4, 1),
        "beta": 1 - on_log_grid(-2, 0),
        "beta2": 1 - on_log_grid(-4, -1),
        "h1": on_log_grid(-1.5, 1),
        "h2": on_log_grid(-1.5, 1),
        "angle": int(rng.integers(0, 36) * 5),
        "steps": int(rng.integers(1, 31) * 10),
        "minimum": point(),
        "start": point(),
    }


def curvature(setting):
    angle = np.deg2rad(setting["angle"])
    Q = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Q @ np.diag([setting["h1"], setting["h2"]]) @ Q.T


def optimizer(method, convention, rates, hypers):
    """The chain that wdjax has under this name."""

    def learning_rate(t):
        return rates[t]

    lam, beta, beta2 = hypers["lambda"], hypers["beta"], hypers["beta2"]
    if method == "sgd_l2":
        return wdjax.sgd_l2(learning_rate, lam, momentum=beta)
    if method == "adam_l2":
        return wdjax.adam_l2(learning_rate, lam, b1=beta, b2=beta2)
    decay = {
        "convention": getattr(wdjax, convention),
        "peak_learning_rate": hypers["alpha"],
    }
    if method == "sgdw":
        return wdjax.sgdw(learning_rate, lam, momentum=beta, **decay)
    return wdjax.adamw(learning_rate, lam, b1=beta, b2=beta2, **decay)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _free(method, convention, rates, hypers):
    chain = optimizer(method, convention, rates, hypers)

    def step(carry, _):
        theta, state = carry
        g = hypers["H"] @ (theta - hypers["minimum"])
        updates, state = chain.update(g, state, theta)
        return (optax.apply_updates(theta, updates), state), theta

    start = hypers["start"]
    return jax.lax.scan(step, (start, chain.init(start)), None, LONGEST + 1)[1]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _next(method, convention, rates, hypers, path):
    chain = optimizer(method, convention, rates, hypers)

    def step(state, theta):
        g = hypers["H"] @ (theta - hypers["minimum"])
        updates, state = chain.update(g, state, theta)
        return state, optax.apply_updates(theta, updates)

    return jax.lax.scan(step, chain.init(path[0]), path)[1]


def _arguments(setting):
    T = setting["steps"]
    rates = np.zeros(LONGEST + 1)
    eta = SCHEDULES[setting["schedule"]](np.arange(T), T)
    rates[:T] = setting["alpha"] * eta
    names = "alpha", "lambda", "beta", "beta2", "minimum", "start"
    hypers = {name: jnp.asarray(setting[name], float) for name in names}
    hypers["H"] = jnp.asarray(curvature(setting))
    decoupled = setting["method"] in ("sgdw", "adamw")
    convention = setting["convention"] if decoupled else None
    return setting["method"], convention, jnp.asarray(rates), hypers


def trajectory(setting):
    """θ_0 … θ_T, by wdjax in float64."""
    return np.asarray(_free(*_arguments(setting)))[: setting["steps"] + 1]


def next_points(setting, path):
    """Where wdjax goes from each θ_t of a path that is given, by its gradients."""
    T = setting["steps"]
    padded = np.zeros((LONGEST + 1, 2))
    padded[:T] = path[:T]
    return np.asarray(_next(*_arguments(setting), jnp.asarray(padded)))[:T]
