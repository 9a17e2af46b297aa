"""Targets on their own: closed forms at zero gradient, NumPy recursions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wdjax
from wdjax.decay import target

STEPS = 12
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([4.0, -1.0])}
POINT = {"w": jnp.array([[0.5, 1.0], [-2.0, 3.5]]), "b": jnp.array([-1.0, 2.0])}
RATES = np.linspace(0.02, 0.4, STEPS)


def at_rate(t):
    return jnp.asarray(RATES)[t]


def in_front(t):
    return jnp.asarray(RATES)[t] / 0.25


# The place with a rate δ_t, and what it leaves of a distance: 1 − δ or 1/(1 + δ).
PLACES = {
    "decoupled": (lambda aim: wdjax.decay_weights(at_rate, target=aim), 1 - RATES),
    "after": (lambda aim: wdjax.decay_weights_after(at_rate, target=aim), 1 - RATES),
    "proximal": (
        lambda aim: wdjax.decay_weights_proximally(at_rate, target=aim),
        1 / (1 + RATES),
    ),
    "coupled": (
        lambda aim: optax.chain(wdjax.add_l2(in_front, target=aim), optax.sgd(0.25)),
        1 - RATES,
    ),
}
places = pytest.mark.parametrize(("make", "left"), PLACES.values(), ids=PLACES)


def zeros_like(params):
    return jax.tree.map(jnp.zeros_like, params)


def path(optimizer, params, kicks, start=None):
    """The parameters after each step, when ``kicks[t]`` is fed in step t."""
    state = optimizer.init(params if start is None else start)

    def step(carry, kick):
        params, state = carry
        updates, state = optimizer.update(kick, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.jit(lambda c: jax.lax.scan(step, c, kicks)[1])((params, state))


def at_rest(params, steps=STEPS):
    return jax.tree.map(lambda p: jnp.zeros((steps, *p.shape), p.dtype), params)


def norms(x):
    return np.sqrt(np.square(np.asarray(x)).reshape(len(x), -1).sum(1))


@places
@pytest.mark.parametrize("given_as", ["initial", "towards"])
def test_the_way_to_a_fixed_point_shrinks_by_the_product(make, left, given_as):
    """θ_t − θ* = Π(1 − δ_s)(θ_0 − θ*), at every place."""
    aim = target.initial if given_as == "initial" else target.towards(POINT)
    walked = path(make(aim), PARAMS, at_rest(PARAMS), start=POINT)
    for name, theta in walked.items():
        way = np.asarray(PARAMS[name] - POINT[name])
        expected = np.cumprod(left).reshape(-1, *[1] * way.ndim) * way[None]
        # A few roundings in each of 12 steps; entries are below 5.
        np.testing.assert_allclose(theta - POINT[name][None], expected, atol=1e-14)


@places
@pytest.mark.parametrize("radius", [0.0, 2.0, 9.0])
def test_the_way_to_a_sphere_shrinks_by_the_product(make, left, radius):
    """From inside and outside; the direction stays, and radius 0 is the origin."""
    walked = path(make(target.norm(radius)), PARAMS, at_rest(PARAMS))
    for name, theta in walked.items():
        start = np.asarray(PARAMS[name])
        length = np.sqrt((start**2).sum())
        expected = radius + np.cumprod(left) * (length - radius)
        np.testing.assert_allclose(norms(theta), expected, rtol=1e-14)
        direction = np.asarray(theta) / expected.reshape(-1, *[1] * start.ndim)
        np.testing.assert_allclose(direction, np.stack([start / length] * STEPS))


def test_radius_zero_is_weight_decay():
    """Bit by bit: Loshchilov's remark that AdamW controls the norm to 0."""
    kicks = jax.tree.map(lambda p: jnp.sin(at_rest(p) + p[None]), PARAMS)
    sphere, origin = (
        path(wdjax.decay_weights(0.1, target=aim), PARAMS, kicks)
        for aim in (target.norm(0.0), target.origin)
    )
    chex.assert_trees_all_equal(sphere, origin)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_a_rate_of_one_sets_the_norm_at_once(factor):
    decay = wdjax.decay_weights(1.0, target=target.initial_norm(factor))
    walked = path(decay, PARAMS, at_rest(PARAMS, 1))
    for name, theta in walked.items():
        length = np.linalg.norm(np.asarray(PARAMS[name]).ravel())
        np.testing.assert_allclose(norms(theta), [factor * length], rtol=1e-15)


def averages(theta, kicks, delta, gamma, sees):
    """θ and its mean by NumPy; ``sees`` which of the two means the step pulls to."""
    mean, walked = theta.copy(), []
    for kick in kicks:
        old, mean = mean, gamma * mean + (1 - gamma) * theta
        theta = theta + kick - delta * (theta - (mean if sees == "new" else old))
        walked.append(theta)
    return np.stack(walked)


def test_the_average_is_a_linear_recursion():
    """A step pulls to the mean that has met its weights: γ of the way to the older."""
    rng = np.random.default_rng(0)
    kicks = {k: rng.normal(size=(30, *p.shape)) for k, p in PARAMS.items()}
    decay = wdjax.decay_weights(0.2, target=target.average(0.7))
    walked = path(decay, PARAMS, jax.tree.map(jnp.asarray, kicks))
    for name, theta in walked.items():
        start = np.asarray(PARAMS[name])
        expected = averages(start, kicks[name], 0.2, 0.7, sees="new")
        np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)
        older = averages(start, kicks[name], 0.2 * 0.7, 0.7, sees="old")
        np.testing.assert_allclose(theta, older, rtol=1e-12, atol=1e-13)


def test_a_kick_dies_out_with_the_eigenvalues_of_the_average():
    """(θ, θ̄) ← M(θ, θ̄) with eigenvalues 1 and γ(1 − δ): θ − θ̄ falls by the latter."""
    delta, gamma, kick = 0.3, 0.8, 2.0
    kicks = jnp.zeros(STEPS).at[0].set(kick)
    decay = wdjax.decay_weights(delta, target=target.average(gamma))
    theta = np.asarray(path(decay, jnp.array(1.0), kicks))
    ratio = gamma * (1 - delta)
    # After the kick θ − θ̄_old = 2; each step then takes γδ of it, geometrically.
    expected = 3 - gamma * delta * kick * (1 - ratio ** np.arange(STEPS)) / (1 - ratio)
    np.testing.assert_allclose(theta, expected, rtol=1e-14)


def test_an_average_that_never_moves_is_the_start_and_one_without_memory_nothing():
    kicks = jax.tree.map(lambda p: jnp.sin(at_rest(p) + p[None]), PARAMS)

    def run(aim, delta=0.1):
        return path(wdjax.decay_weights(delta, target=aim), PARAMS, kicks)

    chex.assert_trees_all_equal(run(target.average(1.0)), run(target.initial))
    free = run(target.origin, delta=0.0)
    chex.assert_trees_all_close(run(target.average(0.0)), free, rtol=1e-14)


def test_the_average_does_not_stall_in_bfloat16():
    """(1 − γ) = 2⁻¹⁰ of a way of 1 is below half an ulp of bfloat16 at 1."""
    decay = wdjax.decay_weights(0.0, target=target.average(1 - 2**-10))
    state = decay.init(jnp.ones(3, jnp.bfloat16))
    theta = jnp.full(3, 2.0, jnp.bfloat16)
    for _ in range(4):
        _, state = decay.update(jnp.zeros_like(theta), state, theta)
    assert state.target.dtype == jnp.float32
    expected = 2 - (1 - 2.0**-10) ** 4
    np.testing.assert_allclose(state.target, expected, rtol=1e-6)  # float32


@places
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_distance_to_a_fixed_target_never_grows(make, left, data):
    """For every δ ≤ 1, wherever weights and target lie: no sign is inverted."""
    del left
    value = st.floats(-50, 50, width=32)
    theta, point = (
        jnp.array(data.draw(st.lists(value, min_size=3, max_size=3))) for _ in range(2)
    )
    radius = data.draw(st.floats(0, 50))
    for aim in (target.towards(point), target.norm(radius)):
        memory = aim.init(theta)
        updates = step_at(make, aim, theta, data.draw(st.integers(0, STEPS - 1)))
        before = np.linalg.norm(aim.displacement(theta, memory))
        after = np.linalg.norm(aim.displacement(theta + updates, memory))
        assert after <= before * (1 + 1e-12) + 1e-12  # rounding of numbers up to 100


def step_at(make, aim, theta, t):
    """The update of step ``t`` at zero gradient."""
    optimizer = make(aim)
    state = optimizer.init(theta)
    state = jax.tree.map(
        lambda x: jnp.full_like(x, t) if x.dtype == "int32" else x, state
    )
    return optimizer.update(jnp.zeros_like(theta), state, theta)[0]


@pytest.mark.parametrize("aim", [target.norm(2.0), target.initial_norm()])
def test_a_zero_leaf_has_no_direction_and_is_not_pulled(aim):
    params = {"zero": jnp.zeros((2, 2)), "one": jnp.ones(4)}
    pulled = path(wdjax.decay_weights(0.5, target=aim), params, at_rest(params, 2))
    np.testing.assert_array_equal(pulled["zero"], np.zeros((2, 2, 2)))

    def penalty(params):
        return wdjax.l2_penalty(params, 0.3, target=aim)

    np.testing.assert_array_equal(jax.grad(penalty)(params)["zero"], np.zeros((2, 2)))


def test_weights_whose_squares_underflow_are_not_pulled_the_wrong_way():
    theta = jnp.full(4, 1e-200)
    decay = wdjax.decay_weights(0.5, target=target.norm(2.0))
    updates, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
    np.testing.assert_array_equal(updates, np.zeros(4))


def test_each_layer_of_a_stack_has_its_own_norm():
    stack = jnp.array(np.random.default_rng(1).normal(size=(3, 2, 2)))
    for aim, radii in (
        (target.norm(2.0, stacked={"w": 1}), np.full(3, 2.0)),
        (target.initial_norm(0.5, stacked={"w": 1}), 0.5 * norms(stack)),
    ):
        decay = wdjax.decay_weights(0.25, target=aim)
        theta = path(decay, {"w": stack}, {"w": jnp.zeros((1, 3, 2, 2))})["w"][0]
        expected = radii + 0.75 * (norms(stack) - radii)
        np.testing.assert_allclose(norms(theta), expected, rtol=1e-14)
        assert decay.init({"w": stack}).target["w"].shape == (3, 1, 1)


def test_a_stack_of_one_layer_is_a_layer():
    theta = {"w": jnp.array([[[3.0, 4.0]]])}
    for stacked in (None, {"w": 1}):
        decay = wdjax.decay_weights(0.5, target=target.norm(1.0, stacked=stacked))
        walked = path(decay, theta, at_rest(theta, 1))["w"][0]
        np.testing.assert_allclose(norms(walked), [3.0], rtol=1e-15)  # (5 + 1)/2


@pytest.mark.parametrize("aim", [target.norm(3.0), target.towards(POINT)])
def test_the_penalty_has_the_pull_for_its_gradient(aim):
    """½λ₂(‖θ‖ − R)² and ½λ₂‖θ − θ*‖², by autodiff."""
    gradient = jax.grad(wdjax.l2_penalty)(PARAMS, 0.3, target=aim)
    added = wdjax.add_l2(0.3, target=aim)
    updates, _ = added.update(zeros_like(PARAMS), added.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(updates, gradient, rtol=1e-14)


def test_complex_weights_are_pulled_along_themselves():
    theta = jnp.array([3.0 + 0.0j, 0.0 + 4.0j])
    decay = wdjax.decay_weights(0.5, target=target.norm(1.0))
    updates, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
    np.testing.assert_allclose(theta + updates, 0.6 * theta, rtol=1e-15)  # 3/5


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_bad_numbers_are_refused(bad):
    for make, name in (
        (target.average, "target.average: decay"),
        (target.norm, "target.norm: radius"),
        (target.initial_norm, "target.initial_norm: factor"),
    ):
        with pytest.raises(ValueError, match=f"^{name} is .*; it must be finite"):
            make(bad)


def test_an_average_of_more_than_one_is_refused():
    with pytest.raises(ValueError, match=r"decay is 1.5; it is the weight γ"):
        target.average(1.5)


def test_a_stack_that_matches_nothing_is_refused():
    decay = wdjax.decay_weights(0.1, target=target.norm(1.0, stacked={"v": 1}))
    with pytest.raises(ValueError, match="pattern 'v' matches no leaf"):
        decay.init(PARAMS)


def test_a_leaf_that_is_left_alone_has_no_average():
    decay = wdjax.decay_weights(
        0.5, target=wdjax.target.average(0.5), where={"w": 1.0, "b": 0.0}
    )
    params = {"w": jnp.array([2.0]), "b": jnp.array([3.0])}
    state = decay.init(params)
    moved = {"w": jnp.array([4.0]), "b": jnp.array([5.0])}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, state = decay.update(zeros, state, moved)
    # θ̄ = ½·2 + ½·4 = 3, so that half of 4 − 3 goes.
    np.testing.assert_allclose(updates["w"], [-0.5], rtol=1e-15)
    np.testing.assert_array_equal(updates["b"], [0.0])
    assert state.target["b"] is None
