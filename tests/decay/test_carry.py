"""What a chain hands on: dtypes, missing gradients, extra arguments."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.optimizers.problem import EVERY, RATIOS
from wdjax import optimizers, precision
from wdjax.decay import carry

every = pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
WRAPPERS = {
    "master": precision.with_master_weights,
    "feedback": precision.with_error_feedback,
    "stochastic": lambda inner: precision.with_stochastic_rounding(inner, 0),
}
wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
NARROW = jnp.array([1.0, -0.5], jnp.bfloat16)


def end(optimizer, params, gradient, steps):
    """The parameters after some steps, and the last update."""

    def step(carried, _):
        params, state = carried
        u, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, u), state), u

    start = (params, optimizer.init(params))
    (last, _), us = jax.lax.scan(step, start, None, steps)
    return last, jax.tree.map(lambda x: x[-1], us)


@every
def test_no_pull_is_lost_beside_narrow_gradients_of_wide_weights(make):
    """bfloat16 gradients, float32 weights: a pull of 2⁻¹² of the step must show."""
    params = {"w": jnp.asarray(np.linspace(1.0, 2.0, 6).reshape(2, 3), jnp.float32)}
    gradient = {"w": jnp.asarray(np.linspace(1.0, 3.0, 6).reshape(2, 3), jnp.bfloat16)}
    lam = 1e-2 if make in RATIOS else 2.0**-12  # a ratio of norms hides the smallest
    with_, u = end(make(1e-2, lam), params, gradient, 50)
    without, _ = end(make(1e-2, 0.0), params, gradient, 50)
    assert u["w"].dtype == jnp.float32
    if make is not optimizers.lion_l2:  # whose sign hides what is small in front of it
        assert (with_["w"] != without["w"]).any()


@pytest.mark.parametrize("make", [optimizers.adamw, optimizers.sgdw, optimizers.lionw])
def test_decay_beside_narrow_gradients_is_the_product(make):
    params = jnp.array([1.0, -3.0], jnp.float32)
    last, _ = end(make(1e-2, 1e-2), params, jnp.zeros(2, jnp.bfloat16), 1000)
    expected = (1 - 1e-4) ** 1000 * np.array([1.0, -3.0])
    np.testing.assert_allclose(last, expected, rtol=1e-4)  # 1000 roundings of 6e-8


HELD = {
    "hold": wdjax.hold_norm(),
    "rotate": wdjax.rotate_weights(0.5),
    "hyperball": wdjax.hyperball(0.5),
    "at half": wdjax.constrain_norm(wdjax.bound.fixed(0.5), multiplier_rate=1.0),
}


@pytest.mark.parametrize("control", HELD.values(), ids=HELD)
def test_norms_are_controlled_beside_narrow_gradients_too(control):
    """An update in bfloat16 would miss the sphere by 2⁻⁹ of its length."""
    params = jnp.asarray([[0.6, -0.8, 1.0], [0.3, 0.5, -0.7]], jnp.float32)
    g = jnp.asarray([[1.0, 0.25, -0.5], [0.75, -1.0, 0.125]], jnp.bfloat16)
    optimizer = optax.chain(optax.sgd(0.5), control)
    wide, _ = end(optimizer, params, g.astype(jnp.float32), 3)
    last, u = end(optimizer, params, g, 3)
    assert u.dtype == jnp.float32
    np.testing.assert_allclose(last, wide, rtol=1e-6)  # αg is exact in bfloat16


@pytest.mark.parametrize(
    "make",
    [make for make in EVERY if make is not optimizers.adams],  # a mean of what is there
    ids=lambda make: make.__name__,
)
def test_a_missing_gradient_is_a_gradient_of_zero_for_the_state(make):
    params = {"a": jnp.ones((2, 2)), "b": jnp.full((2, 2), 3.0)}
    g = {"a": jnp.full((2, 2), 0.5)}
    optimizer = make(0.1, 0.0)
    state = optimizer.init(params)
    _, missing = optimizer.update({**g, "b": None}, state, params)
    _, zero = optimizer.update({**g, "b": jnp.zeros((2, 2))}, state, params)
    # Adafactor forms its β in float32.
    chex.assert_trees_all_close(missing, zero, rtol=1e-8, atol=0)


def test_python_numbers_are_weights_of_a_named_chain():
    for where, expected in ((None, -1.0), (0.0, -0.5)):
        optimizer, params = (
            optimizers.sgdw(0.5, 0.5, momentum=None, where=where),
            {"a": 2.0},
        )
        u, _ = optimizer.update({"a": 1.0}, optimizer.init(params), params)
        assert u["a"] == expected


def plain(optimizer):
    """An optimizer that knows of no extra arguments."""

    def update(updates, state, params=None):
        return optimizer.update(updates, state, params)

    return optax.GradientTransformation(optimizer.init, update)


@pytest.mark.parametrize(
    "wrap",
    [
        carry.keep_dtypes,
        carry.skip_none,
        lambda inner: wdjax.with_stable_weight_decay(inner, 0.0),
        lambda inner: wdjax.with_weight_decay(inner, 0.0),
        lambda inner: wdjax.with_l2(inner, 0.0),
        *WRAPPERS.values(),
    ],
)
def test_extra_arguments_pass_by_an_optimizer_that_takes_none(wrap):
    optimizer, params = wrap(plain(optax.sgd(0.5))), jnp.ones(2)
    u, _ = optimizer.update(params, optimizer.init(params), params, value=1.0)
    np.testing.assert_array_equal(u, -0.5)


@wrappers
def test_the_optimizer_sees_float32(wrap):
    seen = []

    def look(updates, state, params=None):
        seen.extend(jax.tree.leaves((updates, params)))
        return updates, state

    optimizer = wrap(optax.GradientTransformation(seen.append, look))
    state = optimizer.init(NARROW)
    optimizer.update(NARROW, state, NARROW)
    assert [x.dtype for x in seen] == [jnp.float32] * 3


@wrappers
def test_no_decay_can_follow_a_narrow_weight(wrap):
    optimizer = wdjax.with_weight_decay(wrap(optax.sgd(0.1)), 0.1)
    with pytest.raises(ValueError, match=r"cannot go around wdjax\.precision: its"):
        optimizer.init(NARROW)
    inside = wrap(wdjax.with_weight_decay(optax.sgd(0.1), 0.1))
    last, _ = end(inside, jnp.ones(64, jnp.bfloat16), jnp.zeros(64, jnp.bfloat16), 20)
    # Rounded at random twenty times, by 2⁻⁸ or less each, over 64 weights.
    assert abs(last.astype(float).mean() - 0.9**20) < 0.01


def test_draws_are_counted_by_an_integer():
    state = WRAPPERS["stochastic"](optax.sgd(0.1)).init(NARROW)
    assert state.step.dtype == jnp.int32


def test_a_draw_of_zero_leaves_what_fits(monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, *_: jnp.zeros(shape))
    fits = jnp.array([1.0, -0.5, 3.0], jnp.float32)
    drawn = precision._at_random(fits, jnp.bfloat16, jax.random.key(0))
    np.testing.assert_array_equal(drawn, fits)


def test_with_l2_cannot_go_around_lookahead():
    optimizer = wdjax.with_l2(optax.lookahead(optax.sgd(0.1), 5, 0.5), 0.1)
    params = optax.LookaheadParams.init_synced({"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"with_l2 cannot go around optax\.lookahead"):
        optimizer.init(params)
