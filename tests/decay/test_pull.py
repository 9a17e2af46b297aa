"""Each penalty: value, gradient, proximal point, and what it does to an update."""

import dataclasses
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import pull

S = 0.7  # a scale


def by_hand(value, gradient):
    return {"value": value, "gradient": gradient}


PULLS = {
    "quadratic": pull.quadratic,
    "l1": pull.l1,
    "p_norm 1": pull.p_norm(1),
    "p_norm 1.5": pull.p_norm(1.5),
    "p_norm 3": pull.p_norm(3.0),
    "elastic_net": pull.elastic_net(0.3),
    "hyperbolic": pull.hyperbolic(S),
    "exponential": pull.exponential(S),
    "weight_elimination": pull.weight_elimination(S),
}
BY_HAND = {
    "quadratic": by_hand(lambda x: x * x / 2, lambda x: x),
    "l1": by_hand(np.abs, np.sign),
    "p_norm 1": by_hand(np.abs, np.sign),
    "p_norm 1.5": by_hand(
        lambda x: np.abs(x) ** 1.5 / 1.5, lambda x: np.sign(x) * np.sqrt(np.abs(x))
    ),
    "p_norm 3": by_hand(lambda x: np.abs(x) ** 3 / 3, lambda x: x * np.abs(x)),
    "elastic_net": by_hand(
        lambda x: 0.3 * np.abs(x) + 0.35 * x**2, lambda x: 0.3 * np.sign(x) + 0.7 * x
    ),
    "hyperbolic": by_hand(
        lambda x: 1 - 1 / (1 + np.abs(x) / S),
        lambda x: np.sign(x) / (S * (1 + np.abs(x) / S) ** 2),
    ),
    "exponential": by_hand(
        lambda x: 1 - np.exp(-np.abs(x) / S),
        lambda x: np.sign(x) / (S * np.exp(np.abs(x) / S)),
    ),
    "weight_elimination": by_hand(
        lambda x: (x / S) ** 2 / (1 + (x / S) ** 2),
        lambda x: (2 * x / S**2) / (1 + (x / S) ** 2) ** 2,
    ),
}
PROXIMAL = {k: rho for k, rho in PULLS.items() if isinstance(rho, pull.Proximal)}
BOUNDED = {k: rho for k, rho in PULLS.items() if k not in PROXIMAL}
PLACES = {
    "coupled": wdjax.add_l2,
    "decoupled": wdjax.decay_weights,
    "after": wdjax.decay_weights_after,
    "proximal": wdjax.decay_weights_proximally,
}
pulls = pytest.mark.parametrize("name", PULLS)
X = np.array([-3.0, -0.9, -0.1, -1e-3, 0.0, 1e-3, 0.2, 0.5, 2.0])


def once(transformation, updates, params):
    return transformation.update(updates, transformation.init(params), params)[0]


def decayed(transformation, theta, steps):
    """Zero gradients, for some steps."""

    def step(carry, _):
        theta, state = carry
        u, state = transformation.update(jnp.zeros_like(theta), state, theta)
        return (optax.apply_updates(theta, u), state), None

    start = (theta, transformation.init(theta))
    return jax.lax.scan(step, start, length=steps)[0][0]


def test_the_convex_pulls_are_the_proximal_ones():
    bounded = {"hyperbolic", "exponential", "weight_elimination"}
    assert set(BOUNDED) == bounded


@pulls
def test_value_and_gradient_are_those_written_by_hand(name):
    rho, expected = PULLS[name], BY_HAND[name]
    # A few roundings each; 1 − 1/(1 + q) by hand loses eps near 0.
    x = jnp.asarray(X)
    np.testing.assert_allclose(rho.value(x), expected["value"](X), 1e-13, 1e-15)
    np.testing.assert_allclose(rho.gradient(x), expected["gradient"](X), 1e-13)


@pulls
def test_gradient_is_the_derivative_of_the_value(name):
    rho = PULLS[name]
    slope = jax.vmap(jax.grad(rho.value))(jnp.asarray(X))
    np.testing.assert_allclose(rho.gradient(jnp.asarray(X)), slope, rtol=1e-12)


@pulls
def test_l2_penalty_has_add_l2_for_its_gradient(name):
    params = {"w": jnp.asarray(X), "b": jnp.array([0.4])}
    where = {"w": 0.5, "b": 1.0}
    slope = jax.grad(wdjax.l2_penalty)(params, 0.3, pull=PULLS[name], where=where)
    zeros = jax.tree.map(jnp.zeros_like, params)
    added = once(wdjax.add_l2(0.3, pull=PULLS[name], where=where), zeros, params)
    chex.assert_trees_all_close(added, slope, rtol=1e-12)
    by_hand = BY_HAND[name]["value"]
    total = 0.3 * (0.5 * by_hand(X).sum() + by_hand(np.array(0.4)))
    penalty = wdjax.l2_penalty(params, 0.3, pull=PULLS[name], where=where)
    assert penalty == pytest.approx(total, rel=1e-13)


@pytest.mark.parametrize("name", sorted(set(PULLS) - {"p_norm 3"}))
def test_gradients_are_finite_in_float32_however_small_or_large_the_entry(name):
    x = jnp.array([0.0, 1e-30, -1e-30, 1e30, -1e30], jnp.float32)
    for gradient in (PULLS[name].gradient, jax.vmap(jax.grad(PULLS[name].value))):
        g = gradient(x)
        assert g.dtype == jnp.float32
        assert np.isfinite(g).all(), g
        assert g[0] == 0
        assert (g * x >= 0).all()  # never away from the target


def test_the_cubic_gradient_is_finite_in_float64():
    x = jnp.array([0.0, 1e-30, 1e30])  # 1e60 is beyond float32
    np.testing.assert_allclose(pull.p_norm(3).gradient(x), x**2, rtol=1e-14)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bounded_pull_counts_the_entries_beyond_its_scale(name):
    rho = type(PULLS[name])
    x = jnp.array([0.0, 1e-30, 1e30, -1e30], jnp.float32)
    for scale in (1e-25, 1.0, 1e3):
        counts = rho(scale).value(x)
        np.testing.assert_allclose(counts, [0, 0, 1, 1], atol=1e-4)
        assert np.isfinite(rho(scale).gradient(x)).all()
    half = {"hyperbolic": 0.5, "exponential": 1 - 1 / np.e, "weight_elimination": 0.5}
    np.testing.assert_allclose(PULLS[name].value(jnp.array(S)), half[name], rtol=1e-14)


GRID = np.linspace(-4.0, 4.0, 160_001)  # steps of 5e-5, 0 among them


def least(objective):
    return GRID[np.argmin(objective(GRID))]


@pytest.mark.parametrize("name", ["quadratic", "l1", "elastic_net"])
@pytest.mark.parametrize("c", [0.05, 0.4, 2.5])
def test_the_proximal_point_is_the_minimum_found_by_search(name, c):
    rho = BY_HAND[name]["value"]
    found = [least(lambda y, x=x: (y - x) ** 2 / 2 + c * rho(y)) for x in X]
    shrunk = X - PULLS[name].shrinkage(jnp.asarray(X), c, jnp.full(X.shape, jnp.nan))
    np.testing.assert_allclose(shrunk, found, atol=5e-5)  # the grid's step


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_the_p_norms_proximal_point_is_that_of_its_parabola(p):
    """½|old|ᵖ⁻²y² has the penalty's slope at the old displacement."""
    old, c = np.array([-2.5, -1.2, 0.3, -0.2, 1.5, 1e-3, 0.25, 0.7, 1.8]), 0.4
    softness = np.abs(old) ** (p - 2)
    found = [
        least(lambda y, x=x, s=s: (y - x) ** 2 / 2 + c * s * y**2 / 2)
        for x, s in zip(X, softness, strict=True)
    ]
    removed = pull.p_norm(p).shrinkage(jnp.asarray(X), c, jnp.asarray(old))
    np.testing.assert_allclose(X - removed, found, atol=5e-5)  # the grid's step
    slope = BY_HAND[f"p_norm {p:g}"]["gradient"](old)
    np.testing.assert_allclose(softness * old, slope, rtol=1e-14)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_the_p_norm_step_is_padams(p):
    """The authors' update by hand: Adam's first step −α sign(g), then X/(X + c)."""
    theta, g, alpha, c = (
        jnp.asarray(X[X != 0]),
        jnp.asarray(1 + X[X != 0] ** 2),
        0.1,
        0.2,
    )
    decay = wdjax.decay_weights_proximally(c, pull=pull.p_norm(p))
    optimizer = optax.chain(optax.adam(alpha, eps=0.0), decay)
    new = optax.apply_updates(theta, once(optimizer, g, theta))
    softness = np.abs(theta) ** (2.0 - p)
    expected = (theta - alpha) * softness / (softness + c)
    np.testing.assert_allclose(new, expected, rtol=1e-12)


@pytest.mark.parametrize("p", [1.0, 1.3, 1.9])
def test_an_entry_at_its_target_stays_there_below_p_2(p):
    removed = pull.p_norm(p).shrinkage(jnp.array([0.3, -2.0]), 0.1, jnp.zeros(2))
    np.testing.assert_array_equal(removed, [0.3, -2.0])  # all of it, and no NaN


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_an_entry_at_its_target_may_leave_it_from_p_2_on(p):
    removed = pull.p_norm(p).shrinkage(jnp.array([0.3]), 1.0, jnp.zeros(1))
    np.testing.assert_array_equal(removed, [0.15 if p == 2 else 0.0])


def test_the_p_norm_is_safe_to_differentiate_at_zero():
    def removed(c, p):
        rho = pull.p_norm(p)
        return rho.shrinkage(jnp.array(0.3), c, jnp.array(0.0)) + rho.value(
            jnp.array(0.0)
        )

    for p in (1.0, 1.5, 2.0):
        slopes = jax.jacobian(removed, argnums=(0, 1))(0.0, p)
        assert np.isfinite(slopes).all(), (p, slopes)


ALLOWED = [
    pytest.param(make, rho, id=f"{place} {name}")
    for place, make in PLACES.items()
    for name, rho in (PROXIMAL if place == "proximal" else PULLS).items()
]


@pytest.mark.parametrize(("make", "rho"), ALLOWED)
def test_a_zero_rate_leaves_every_update_bitwise_alone(make, rho):
    rng = np.random.default_rng(0)
    theta = jnp.asarray(
        np.append(rng.normal(size=50) * 10.0 ** rng.integers(-9, 9, 50), 0)
    )
    u = jnp.asarray(rng.normal(size=51))
    for rate in (0.0, lambda t: jnp.zeros(())):
        kept = once(make(rate, pull=rho), u, theta)
        np.testing.assert_array_equal(kept.view(jnp.int64), u.view(jnp.int64))


def test_the_special_cases_are_the_pulls_they_should_be():
    x, old, c = jnp.asarray(X), jnp.asarray(X[::-1]), 0.3
    same = [
        (pull.elastic_net(1.0), pull.l1),
        (pull.elastic_net(0.0), pull.quadratic),
        (pull.p_norm(2.0), pull.quadratic),
    ]
    for special, general in same:
        np.testing.assert_array_equal(special.value(x), general.value(x))
        np.testing.assert_array_equal(special.gradient(x), general.gradient(x))
        np.testing.assert_array_equal(
            special.shrinkage(x, c, old), general.shrinkage(x, c, old)
        )
    np.testing.assert_array_equal(pull.p_norm(1).gradient(x), pull.l1.gradient(x))


def test_the_soft_threshold_walks_to_zero_and_rests_there():
    """θ_T = sign(θ) max(|θ| − Σδ, 0), and exact zeros behind it."""
    deltas = jnp.array([0.2, 0.1, 0.4, 0.05])
    theta = jnp.array([2.0, -1.0, 0.7, -0.3, 0.1, 0.0])
    decay = wdjax.decay_weights_proximally(lambda t: deltas[t], pull=pull.l1)
    expected = np.sign(theta) * np.maximum(np.abs(theta) - 0.75, 0.0)
    # A rounding of 1e-16 in each of four steps.
    np.testing.assert_allclose(decayed(decay, theta, 4), expected, atol=1e-15)
    np.testing.assert_array_equal(decayed(decay, theta, 4)[2:], np.zeros(4))


def test_explicit_l1_walks_at_constant_speed_and_overshoots():
    """What the proximal form is for: the explicit one flips about zero."""
    theta = jnp.array([2.0, -1.0, 0.1])
    decay = wdjax.decay_weights(0.25, pull=pull.l1)
    np.testing.assert_allclose(decayed(decay, theta, 3), [1.25, -0.25, -0.15])
    np.testing.assert_allclose(decayed(decay, theta, 4), [1.0, 0.0, 0.1])


def test_l1_takes_its_stationary_point_from_the_lasso():
    """½h(θ − a)² + λ|θ| by proximal gradient: a soft-thresholded at λ/h, by hand."""
    a, h, lam, alpha = jnp.array([2.0, -1.0, 0.3, -0.2]), 1.5, 0.6, 0.3
    decay = wdjax.decay_weights_proximally(alpha * lam, pull=pull.l1)
    optimizer = optax.chain(optax.sgd(alpha), decay)
    theta, state = jnp.ones(4), optimizer.init(a)
    for _ in range(60):
        u, state = optimizer.update(h * (theta - a), state, theta)
        theta = optax.apply_updates(theta, u)
    # The error shrinks by 1 − αh = 0.55 a step: 0.55**60 = 3e-16.
    np.testing.assert_allclose(theta, [1.6, -0.6, 0.0, 0.0], atol=1e-14)


@pytest.mark.parametrize("name", ["p_norm 1.5", "p_norm 3", "elastic_net"])
def test_explicit_and_proximal_decay_rest_at_the_same_point(name):
    """Where h(θ − a) + λ∇ρ(θ) = 0, to be seen without either of them."""
    a, h, lam, alpha = jnp.array([2.0, -1.0, 0.5]), 1.5, 0.3, 0.3
    for make in (wdjax.decay_weights, wdjax.decay_weights_proximally):
        decay = make(alpha * lam, pull=PULLS[name])
        optimizer = optax.chain(optax.sgd(alpha), decay)
        theta, state = a, optimizer.init(a)
        for _ in range(100):
            u, state = optimizer.update(h * (theta - a), state, theta)
            theta = optax.apply_updates(theta, u)
        rest = h * (theta - a) + lam * BY_HAND[name]["gradient"](np.asarray(theta))
        # Contracts by 0.6 at most a step; what remains is rounding over α.
        np.testing.assert_allclose(rest, np.zeros(3), atol=1e-14)
        assert (jnp.abs(theta) < jnp.abs(a)).all()


@pulls
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_leaves_keep_their_dtype_and_are_rounded_once(name, dtype):
    rng = np.random.default_rng(1)
    u, theta = (jnp.asarray(rng.normal(size=40), dtype) for _ in range(2))
    slope = BY_HAND[name]["gradient"](np.asarray(theta, np.float64))
    expected = np.asarray(u, np.float64) - np.float32(0.3) * slope
    new = once(wdjax.decay_weights(0.3, pull=PULLS[name]), u, theta)
    assert new.dtype == dtype
    # Float32 arithmetic, then half an ulp of the leaf's dtype (a tie may fall apart).
    half_ulp = float(jnp.finfo(dtype).eps) / 2
    np.testing.assert_allclose(
        np.asarray(new, np.float64), expected, rtol=1.01 * half_ulp, atol=1e-6
    )
    if name in PROXIMAL:
        proximal = wdjax.decay_weights_proximally(0.3, pull=PULLS[name])
        assert once(proximal, u, theta).dtype == dtype


PARAMETRISED = {
    "p_norm": (pull.p_norm, [1.0, 1.5, 3.0]),
    "elastic_net": (pull.elastic_net, [0.0, 0.4, 1.0]),
    "hyperbolic": (pull.hyperbolic, [0.1, 1.0, 10.0]),
    "exponential": (pull.exponential, [0.1, 1.0, 10.0]),
    "weight_elimination": (pull.weight_elimination, [0.1, 1.0, 10.0]),
}
parametrised = pytest.mark.parametrize(
    ("make", "values"), PARAMETRISED.values(), ids=PARAMETRISED
)


SWEPT = [
    pytest.param(place, make, values, id=f"{place.__name__} {name}")
    for name, (make, values) in PARAMETRISED.items()
    for place in (wdjax.decay_weights, wdjax.decay_weights_proximally)
    if place is wdjax.decay_weights or name in ("p_norm", "elastic_net")
]


@pytest.mark.parametrize(("place", "make", "values"), SWEPT)
def test_a_parameter_may_be_swept(place, make, values):
    theta = jnp.asarray(X)

    def run(value):
        return decayed(place(0.1, pull=make(value)), theta, 3)

    grid = jax.jit(jax.vmap(run))(jnp.array(values))
    for member, value in zip(grid, values, strict=True):
        # pow and hypot compile differently for a constant: a few roundings.
        np.testing.assert_allclose(member, run(value), rtol=1e-12, atol=1e-15)


@parametrised
def test_a_swept_parameter_does_not_widen_the_leaves(make, values):
    theta = jnp.asarray(X, jnp.float32)
    run = jax.jit(lambda v: decayed(wdjax.decay_weights(0.1, pull=make(v)), theta, 2))
    assert run(jnp.array(values[1])).dtype == jnp.float32


BAD = [
    (pull.p_norm, 0.5, "p is 0.5; it must be at least 1"),
    (pull.p_norm, -1, "p is -1; it must be finite"),
    (pull.p_norm, np.nan, "p is nan; it must be finite"),
    (pull.p_norm, "2", "p is '2'; it must be a number"),
    (pull.elastic_net, 1.5, r"l1_ratio is 1.5; it must be in \[0, 1\]"),
    (pull.elastic_net, -0.1, "l1_ratio is -0.1; it must be finite and at least 0"),
    (pull.hyperbolic, 0.0, "scale is 0; it must be larger than 0"),
    (pull.exponential, np.inf, "scale is inf; it must be finite"),
    (pull.weight_elimination, jnp.array(-1.0), "scale is -1; it must be finite"),
    (pull.weight_elimination, jnp.ones(2), r"scale has shape \(2,\)"),
    (pull.hyperbolic, lambda t: 1.0, "scale is the schedule .*; give a number"),
]


@pytest.mark.parametrize(("make", "value", "message"), BAD)
def test_a_bad_parameter_is_refused_by_name(make, value, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(make)(value)


@pytest.mark.parametrize(
    ("make", "good", "bad"), [(pull.p_norm, 1.5, 0.5), (pull.elastic_net, 0.5, 1.5)]
)
def test_an_array_that_is_known_is_looked_at_also_under_jit(make, good, bad):
    """A comparison of arrays would be traced there."""
    good, bad = jnp.array(good), jnp.array(bad)
    x = jnp.asarray(X)
    slope = jax.jit(lambda x: make(good).gradient(x))(x)
    np.testing.assert_allclose(slope, make(float(good)).gradient(x), rtol=1e-14)
    with pytest.raises(ValueError, match=f"is {float(bad)}; it must be"):
        jax.jit(lambda x: make(bad).gradient(x))(x)


def test_pulls_are_plain_data():
    """What is callable, `inject_hyperparams` takes for a schedule."""
    for rho in PULLS.values():
        assert not callable(rho)
        assert dataclasses.is_dataclass(rho)
    assert pull.p_norm(3) == pull.p_norm(3)
    injected = optax.inject_hyperparams(wdjax.decay_weights)(0.5, pull=pull.l1)
    u, _ = injected.update(jnp.zeros(2), injected.init(jnp.ones(2)), jnp.ones(2))
    np.testing.assert_array_equal(u, [-0.5, -0.5])
