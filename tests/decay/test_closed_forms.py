"""At zero gradient every place has its own closed form, for every rate and where."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax

ALPHA, LAM, STEPS = 0.05, 3.0, 9
PARAMS = {
    "dense": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([4.0])},
    "scale": jnp.array([-1.0, 1e-8]),
}
T = np.arange(STEPS)
ETA = np.concatenate([T[:3] / 3, 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6))])
RESTARTS = np.concatenate(
    [0.5 * (1 + np.cos(np.pi * np.arange(n) / n)) for n in (3, 6)]
)
LENGTHS = np.array([3] * 3 + [6] * 6)
# Products of nine factors; XLA and NumPy round each a few times.
CLOSE = {"rtol": 1e-13, "atol": 0.0}


def table(values):
    """A schedule that reads a float64 table."""
    values = jnp.asarray(values)
    return lambda t: values[t]


def by_convention(convention):
    return wdjax.decay_rate(
        LAM, table(ALPHA * ETA), convention, peak_learning_rate=ALPHA
    )


# Warm-ups to a level that stays, in binary fractions: exact in Optax's float32.
CYCLES = [
    {
        "init_value": 0.0,
        "peak_value": peak,
        "warmup_steps": warm_up,
        "decay_steps": length,
        "end_value": peak,
    }
    for peak, warm_up, length in ((0.5, 2, 3), (0.25, 4, 6))
]
WARM_UPS = np.array([0, 0.5, 1, 0, 0.25, 0.5, 0.75, 1, 1])
RATES = {
    "number": (0.15, np.full(STEPS, 0.15)),
    "array": (jnp.array(0.15), np.full(STEPS, 0.15)),
    "own schedule": (table(0.3 * 0.8**T), 0.3 * 0.8**T),
    "OPTAX": (by_convention(wdjax.OPTAX), LAM * ALPHA * ETA),
    "PAPER": (by_convention(wdjax.PAPER), LAM * ETA),
    "CONSTANT": (
        wdjax.decay_rate(0.2, table(ALPHA * ETA), wdjax.CONSTANT, peak_learning_rate=1),
        np.full(STEPS, 0.2),
    ),
    "CORRECTED": (by_convention(wdjax.CORRECTED), LAM * ALPHA * ETA**2),
    "SQUARED": (by_convention(wdjax.SQUARED), LAM * ALPHA**2 * ETA**2),
    "normalised": (wdjax.rate.normalised(0.5, STEPS), np.full(STEPS, 0.5 / 3)),
    "normalised per restart": (
        wdjax.rate.normalised(0.5, [3, 6], table(RESTARTS)),
        0.5 / np.sqrt(LENGTHS) * RESTARTS,
    ),
    "normalised by batch": (
        wdjax.rate.normalised_by_batch(0.5, 8, 36, 2, table(ETA)),
        0.5 * np.sqrt(8 / (36 * 2)) * ETA,
    ),
    "normalised with restarts": (
        wdjax.rate.normalised_with_restarts(0.5, CYCLES),
        0.5 / np.sqrt(LENGTHS) * WARM_UPS,
    ),
    "timescale": (wdjax.rate.from_timescale(7.0), np.full(STEPS, 1 / 7)),
    "timescale in samples": (
        wdjax.rate.from_timescale_in_samples(56.0, 8, table(ETA)),
        8 / 56 * ETA,
    ),
    "timescale in epochs": (
        wdjax.rate.from_timescale_in_epochs(2.0, 28, 8, table(ETA)),
        8 / (28 * 2.0) * ETA,
    ),
    "early": (wdjax.rate.early(table(0.3 * 0.8**T), 4), 0.3 * 0.8**T * (T < 4)),
    "late": (wdjax.rate.late(0.15, 4), 0.15 * (T >= 4)),
}
WHERES = {
    "all": (None, (1.0, 1.0, 1.0)),
    "matrices": (wdjax.where.matrices, (0.0, 1.0, 0.0)),
    "paths": (
        wdjax.where.by_path({".*/kernel": 0.5, ".*/bias": 1.0}, default=0.25),
        (1.0, 0.5, 0.25),
    ),
    "tree": (
        {"dense": {"kernel": 0.0, "bias": 0.75}, "scale": True},
        (0.75, 0.0, 1.0),
    ),
}
rates = pytest.mark.parametrize(("rate", "deltas"), RATES.values(), ids=RATES)
wheres = pytest.mark.parametrize(("where", "multipliers"), WHERES.values(), ids=WHERES)


def still(optimizer):
    """The parameters after all steps without gradient."""

    def step(carry, _):
        params, state = carry
        zeros = jax.tree.map(jnp.zeros_like, params)
        updates, state = optimizer.update(zeros, state, params)
        return (optax.apply_updates(params, updates), state), None

    carry = (PARAMS, optimizer.init(PARAMS))
    return jax.jit(lambda c: jax.lax.scan(step, c, None, STEPS)[0][0])(carry)


def assert_leaves(theta, expected):
    """Leaf by leaf; a multiplier of 0 leaves not a bit changed."""
    pairs = zip(jax.tree.leaves(theta), jax.tree.leaves(PARAMS), expected, strict=True)
    for after, before, by_hand in pairs:
        np.testing.assert_allclose(after, by_hand(np.asarray(before)), **CLOSE)


def scaled(factors):
    return [lambda x, f=f: f * x for f in factors]


@rates
@wheres
def test_decoupled_decay_is_the_product_of_what_is_left(
    rate, deltas, where, multipliers
):
    factors = [np.prod(1 - m * deltas) for m in multipliers]
    for place in (wdjax.decay_weights, wdjax.decay_weights_after):
        assert_leaves(still(place(rate, where=where)), scaled(factors))
    behind = wdjax.with_weight_decay(optax.adam(ALPHA), rate, where=where)
    assert_leaves(still(behind), scaled(factors))


@rates
@wheres
def test_proximal_decay_is_the_product_of_the_divisions(
    rate, deltas, where, multipliers
):
    factors = [np.prod(1 / (1 + m * deltas)) for m in multipliers]
    proximal = wdjax.decay_weights_proximally(rate, where=where)
    assert_leaves(still(proximal), scaled(factors))


@rates
@wheres
def test_coupled_sgd_is_the_product_of_the_scheduled_steps(
    rate, deltas, where, multipliers
):
    """λ₂ follows a schedule of its own, and the learning rate another."""
    alphas = 0.9 * ETA
    factors = [np.prod(1 - m * alphas * deltas) for m in multipliers]
    coupled = wdjax.sgd_l2(table(alphas), rate, where=where)
    assert_leaves(still(coupled), scaled(factors))


@wheres
@pytest.mark.parametrize("nesterov", [False, True])
def test_coupled_heavy_ball_is_a_two_by_two_recursion(where, multipliers, nesterov):
    beta = 0.8

    def factor(m):
        theta, momentum = 1.0, 0.0
        for eta in ETA:
            g = LAM * m * theta
            momentum = beta * momentum + g
            direction = beta * momentum + g if nesterov else momentum
            theta = theta - ALPHA * eta * direction
        return theta

    coupled = wdjax.sgd_l2(
        table(ALPHA * ETA), LAM, momentum=beta, nesterov=nesterov, where=where
    )
    assert_leaves(still(coupled), scaled(map(factor, multipliers)))


@rates
@wheres
def test_proximal_l1_is_the_soft_threshold_of_the_sum(rate, deltas, where, multipliers):
    thresholds = [m * deltas.sum() for m in multipliers]
    soft = [
        lambda x, c=c: np.sign(x) * np.maximum(np.abs(x) - c, 0) for c in thresholds
    ]
    proximal = wdjax.decay_weights_proximally(rate, pull=wdjax.pull.l1, where=where)
    theta = jax.tree.leaves(still(proximal))
    for after, before, by_hand in zip(
        theta, jax.tree.leaves(PARAMS), soft, strict=True
    ):
        # Sums of δ_t in another order.
        np.testing.assert_allclose(after, by_hand(np.asarray(before)), 1e-13, 1e-14)


@pytest.mark.parametrize("l2", [1e-6, 1e-2, 1e2])
def test_coupled_adam_walks_to_the_origin_at_the_learning_rate(l2):
    """The trap: without a gradient the size of λ₂ cancels; the direction is a sign."""
    optimizer = wdjax.adam_l2(0.01, l2, eps=0.0)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.update(zeros, optimizer.init(PARAMS), PARAMS)
    signs = jax.tree.map(lambda p: -0.01 * np.sign(p), PARAMS)
    for u, by_hand in zip(*map(jax.tree.leaves, (updates, signs)), strict=True):
        np.testing.assert_allclose(u, by_hand, rtol=1e-12)
