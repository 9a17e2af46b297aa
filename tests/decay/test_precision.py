"""Decay of bfloat16 and float16 weights, through `optax.apply_updates` alone."""

import inspect

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import precision

DELTA, STEPS = 1e-4, 1000
LEFT = (1 - DELTA) ** STEPS  # of a weight that meets no gradient
WRAPPERS = {
    "master": precision.with_master_weights,
    "feedback": precision.with_error_feedback,
    "stochastic": lambda optimizer: precision.with_stochastic_rounding(optimizer, 7),
}
wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
DECAY = wdjax.with_weight_decay(optax.sgd(0.1), DELTA)
NARROW = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
narrow = pytest.mark.parametrize("dtype", NARROW.values(), ids=NARROW)
BITS = {jnp.bfloat16: 8, jnp.float16: 11}  # p, the implicit one included
MIXED = {
    "bf16": jnp.array([1.0, -2.5, 0.3], jnp.bfloat16),
    "f16": jnp.array([[1.5, -0.7]], jnp.float16),
    "f32": jnp.array([0.1, 0.2], jnp.float32),
    "f64": jnp.array([0.1, 0.2], jnp.float64),
    "c64": jnp.array([1.0 + 0.3j], jnp.complex64),
}


def every_mantissa(dtype):
    """One weight for each of the 2^(p−1) numbers in [1, 2)."""
    p = BITS[dtype]
    return jnp.asarray(1 + np.arange(2 ** (p - 1)) / 2 ** (p - 1), dtype)


def normal(dtype, n=4096):
    return jnp.asarray(np.random.default_rng(0).normal(size=n), dtype)


def still(params, t):
    return jax.tree.map(jnp.zeros_like, params)


def wave(params, t):
    return jax.tree.map(lambda p: jnp.sin(3 * p + t).astype(p.dtype), params)


def train(optimizer, params, steps=STEPS, gradient=still):
    """The textbook loop, as one scan; the last parameters and the last state."""

    def step(carry, t):
        params, state = carry
        updates, state = optimizer.update(gradient(params, t), state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    return jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(steps))[0])()


def wide(x):
    return np.asarray(x).astype(np.float64)


@narrow
def test_plain_decay_of_narrow_weights_does_nothing_at_all(dtype):
    """The trap: a thousand steps should take a tenth of every weight."""
    theta = normal(dtype)
    plain, _ = train(wdjax.decay_weights(DELTA), theta)
    if dtype == jnp.float16:  # subnormal: the gap does not shrink with the weight
        theta, plain = (jnp.where(jnp.abs(theta) < 1e-4, 0, x) for x in (theta, plain))
    np.testing.assert_array_equal(plain, theta)
    assert LEFT < 0.91


@narrow
def test_the_threshold_is_between_half_a_gap_and_a_gap(dtype):
    """δ ≤ 2^−(p+1) moves no weight, δ ≥ 2^−p every one, whatever its mantissa."""
    theta, p = every_mantissa(dtype), BITS[dtype]

    def moved(delta):
        return np.asarray(train(wdjax.decay_weights(delta), theta, 1)[0] != theta)

    assert not moved(2.0 ** -(p + 1)).any()
    assert moved(2.0**-p).all()
    between = moved(1.5 * 2.0 ** -(p + 1))
    assert between.any()
    assert not between.all()


@narrow
def test_master_weights_end_at_the_closed_form_rounded_once(dtype):
    theta = normal(dtype)
    last, state = train(precision.with_master_weights(DECAY), theta)
    # A thousand float32 steps, each rounded to 2⁻²⁴; the average is far smaller.
    np.testing.assert_allclose(state.memory, LEFT * wide(theta), rtol=STEPS * 2.0**-24)
    half_gap = np.maximum(2.0 ** -BITS[dtype] * np.abs(wide(theta)), 2.0**-25)
    assert (np.abs(wide(last) - LEFT * wide(theta)) <= half_gap).all()


@narrow
def test_error_feedback_ends_at_the_closed_form(dtype):
    theta, p = normal(dtype), BITS[dtype]
    theta = jnp.where(jnp.abs(theta) < 0.5, 0.5, theta)  # float16: 2⁻²⁴ below ½
    last, state = train(precision.with_error_feedback(DECAY), theta)
    # The stated bound: rounding e costs 2^−(2p+1) of θ in each step at most.
    pair = wide(last) + wide(state.memory)
    bound = STEPS * 2.0 ** -(2 * p + 1) + STEPS * 2.0**-24
    np.testing.assert_allclose(pair, LEFT * wide(theta), rtol=bound)
    # What is read is that, rounded once more.
    np.testing.assert_allclose(last, LEFT * wide(theta), rtol=bound + 2.0**-p)
    # No drift to one side beyond a tenth of the decay that is meant (9.5 %).
    assert abs(np.mean(pair / wide(theta)) / LEFT - 1) < 1e-3


@narrow
def test_stochastic_rounding_is_right_on_average(dtype):
    theta = jnp.ones(4096, dtype)
    last, _ = train(precision.with_stochastic_rounding(DECAY, 3), theta)
    error = wide(last).std(ddof=1) / np.sqrt(4096)
    assert abs(wide(last).mean() - LEFT) < 3 * error
    # The stated variance: at most T·q·δ|θ|, with q = 2^−p below 1.
    assert wide(last).std() < np.sqrt(STEPS * 2.0 ** -BITS[dtype] * DELTA)
    assert wide(last).std() > 0


@narrow
def test_rounding_to_nearest_is_the_cast(dtype):
    """Against ml_dtypes and NumPy: normal, subnormal, tied and infinite numbers."""
    rng = np.random.default_rng(1)
    least = -8 if dtype == jnp.float16 else -35
    x = rng.normal(size=4000) * 10.0 ** rng.integers(least, 4, 4000)
    if dtype == jnp.bfloat16:
        x = x[np.abs(x) > 2.0**-119]  # below, the grid is coarser, as the code says
    ties = 1 + (np.arange(64) + 0.5) / 2 ** (BITS[dtype] - 1)
    x = np.concatenate([x, ties, -ties, [0.0, np.inf, -np.inf]]).astype(np.float32)
    cast = x.astype(ml_dtypes.bfloat16 if dtype == jnp.bfloat16 else np.float16)
    rounded = jax.jit(precision._nearest, static_argnums=1)(x, dtype)
    np.testing.assert_array_equal(rounded, cast.astype(np.float32))
    assert np.isnan(precision._nearest(jnp.float32(jnp.nan), dtype))


@narrow
@pytest.mark.parametrize("x", [1 - 2.0**-13, -1.3, 3e-5, 2.7e-3, -70.2])
def test_random_rounding_takes_one_of_the_two_neighbours_and_is_unbiased(dtype, x):
    n, x = 20_000, np.float32(x)
    points = jnp.full(n, x)
    drawn = wide(precision._at_random(points, dtype, jax.random.key(0)))
    numpy_type = ml_dtypes.bfloat16 if dtype == jnp.bfloat16 else np.float16
    assert set(drawn) == set(drawn.astype(numpy_type).astype(np.float64))
    low, high = np.unique(drawn)
    assert low < x < high
    chance = (x - low) / (high - low)
    error = (high - low) * np.sqrt(chance * (1 - chance) / n)
    assert abs(drawn.mean() - x) < 4 * error
    neighbour = np.nextafter(numpy_type(low), numpy_type(np.inf))
    assert high == float(neighbour)


def test_random_rounding_leaves_what_fits_and_what_is_not_finite():
    fits = jnp.array([0.0, 1.0, -0.5, 3.0, jnp.inf, -jnp.inf, jnp.nan], jnp.float32)
    drawn = precision._at_random(fits, jnp.bfloat16, jax.random.key(0))
    np.testing.assert_array_equal(drawn, fits)
    full = jnp.asarray(np.full(99, 2**31 - 1, np.uint32).view(np.float32))
    assert np.isnan(precision._at_random(full, jnp.bfloat16, jax.random.key(0))).all()


@wrappers
@narrow
def test_updates_land_exactly_on_a_narrow_number(wrap, dtype):
    """θ + u in float32 is already what the cast would make of it."""
    optimizer = wrap(optax.sgd(0.37))
    theta = normal(dtype)
    g = jnp.sin(7 * theta.astype(jnp.float32)).astype(dtype)
    u, _ = optimizer.update(g, optimizer.init(theta), theta)
    assert u.dtype == jnp.float32
    there = theta.astype(jnp.float32) + u
    np.testing.assert_array_equal(there, there.astype(dtype).astype(jnp.float32))
    assert (optax.apply_updates(theta, u) != theta).mean() > 0.9


@wrappers
def test_parameters_and_states_keep_their_dtypes(wrap):
    # A float64 β alone would widen the float32 moments, and a scan refuse the carry.
    optimizer = wrap(optax.chain(optax.trace(jnp.float64(0.9)), optax.scale(-0.01)))
    last, state = train(optimizer, MIXED, 3, wave)
    chex.assert_trees_all_equal_shapes_and_dtypes(last, MIXED)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, optimizer.init(MIXED))
    moments = {x.dtype.name for x in jax.tree.leaves(state.inner) if x.ndim}
    assert moments == {"float32", "float64", "complex64"}


@wrappers
@pytest.mark.parametrize("key", [0, jax.random.key(0)], ids=["seed", "typed key"])
def test_a_random_key_among_the_state_is_carried_as_it_is(wrap, key):
    params = {name: MIXED[name] for name in ("bf16", "f32")}
    noisy = optax.noisy_sgd(0.1, key=key)
    bare, wrapped = noisy.init(params), wrap(noisy).init(params)
    g = wave(params, 1.0)
    for _ in range(2):
        _, bare = noisy.update(g, bare, params)
        u, wrapped = wrap(noisy).update(g, wrapped, params)
    chex.assert_trees_all_equal(wrapped.inner, bare)
    assert jnp.isfinite(u["bf16"]).all()
    assert (u["bf16"] != 0).any()


@wrappers
def test_wide_leaves_pass_through_bit_by_bit(wrap):
    bare = wdjax.sgdw(0.01, 0.1)
    optimizer, params, g = wrap(bare), MIXED, wave(MIXED, 1.0)
    u, _ = optimizer.update(g, optimizer.init(params), params)
    expected, _ = bare.update(g, bare.init(params), params)
    for name in ("f32", "f64", "c64"):
        np.testing.assert_array_equal(u[name], expected[name])
        assert u[name].dtype == params[name].dtype


MEMORY = {"master": 4, "feedback": 2, "stochastic": 0}


@pytest.mark.parametrize("name", WRAPPERS)
@narrow
def test_the_memory_is_what_the_table_says(name, dtype):
    state = WRAPPERS[name](optax.sgd(0.1)).init(normal(dtype))
    assert sum(x.nbytes for x in jax.tree.leaves(state.memory)) == 4096 * MEMORY[name]


@wrappers
def test_four_steps_in_one_program_are_four_programs_bit_by_bit(wrap):
    """XLA may drop casts to a narrow type and back: the rounding must not be one."""
    optimizer = wrap(DECAY)
    params = {name: MIXED[name] for name in ("bf16", "f16")}
    state = optimizer.init(params)

    def step(params, state, t):
        u, state = optimizer.update(wave(params, t), state, params)
        return optax.apply_updates(params, u), state

    @jax.jit
    def four(params, state):
        for t in range(4):
            params, state = step(params, state, t)
        return params, state

    compiled = four(params, state)
    for t in range(4):
        params, state = jax.jit(step)(params, state, t)
    chex.assert_trees_all_equal(compiled[0], params)


@wrappers
def test_without_jit_a_step_is_the_same(wrap):
    optimizer = wrap(DECAY)
    theta = normal(jnp.bfloat16, 64)
    state, g = optimizer.init(theta), wave(theta, 0.0)
    # −α g − δθ may be fused: float32 rounding, far below the narrow gaps.
    eager, compiled = (
        run(g, state, theta)[0] for run in (optimizer.update, jax.jit(optimizer.update))
    )
    np.testing.assert_array_equal(eager, compiled)


@wrappers
def test_member_i_of_a_vmapped_grid_is_run_i(wrap):
    rates = jnp.array([1e-4, 1e-3], jnp.float32)
    theta = normal(jnp.bfloat16, 8)

    def last(delta):
        return train(wrap(wdjax.decay_weights(delta)), theta, 50)[0]

    grid = jax.vmap(last)(rates)
    for i in range(2):
        np.testing.assert_array_equal(grid[i], last(rates[i]))


def test_seeds_may_be_vmapped_and_differ():
    theta = jnp.ones(64, jnp.bfloat16)

    def last(seed):
        rounding = precision.with_stochastic_rounding(DECAY, seed)
        return train(rounding, theta, 50)[0]

    members = jax.vmap(last)(jnp.arange(3))
    assert len({tuple(wide(m)) for m in members}) == 3
    np.testing.assert_array_equal(members[1], last(1))


def test_draws_differ_from_leaf_to_leaf_and_from_step_to_step():
    half = jnp.full(256, 1 - 2.0**-10, jnp.float32)  # between two weights
    optimizer = precision.with_stochastic_rounding(optax.scale(1.0), 0)
    params = {name: jnp.ones(256, jnp.bfloat16) for name in "ab"}
    state, seen = optimizer.init(params), []
    for _ in range(2):
        u, state = optimizer.update({n: half - 1 for n in "ab"}, state, params)
        seen += [tuple(np.asarray(u["a"])), tuple(np.asarray(u["b"]))]
    assert len(set(seen)) == 4
    assert state.step == 2


@wrappers
def test_update_works_with_donated_buffers(wrap):
    optimizer = wrap(wdjax.adamw(0.01, 0.1))

    def step(params, state):
        updates, state = optimizer.update(wave(params, 1.0), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.array, MIXED)
    state = optimizer.init(params)
    donating = jax.jit(step, donate_argnums=(0, 1))
    for _ in range(2):
        old = params
        params, state = donating(params, state)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))


@wrappers
def test_it_composes_with_partition_masked_chain_and_multi_steps(wrap):
    params = {"w": normal(jnp.bfloat16, 8), "b": normal(jnp.bfloat16, 3)}
    decay = wdjax.decay_weights(0.01)
    groups = {"on": wrap(decay), "off": optax.set_to_zero()}
    alone = train(wrap(decay), {"w": params["w"]}, 9)[0]["w"]
    assert (alone != params["w"]).all()
    for optimizer in (
        optax.partition(groups, {"w": "on", "b": "off"}),
        optax.masked(wrap(decay), {"w": True, "b": False}),
        optax.chain(optax.clip_by_global_norm(1.0), groups["on"]),
    ):
        last, _ = train(optimizer, params, 9)
        if wrap is not WRAPPERS["stochastic"]:  # its draws follow the leaf's number
            np.testing.assert_array_equal(last["w"], alone)
        assert last["w"].dtype == jnp.bfloat16
        assert (last["w"] != params["w"]).any()
    slowly, _ = train(optax.MultiSteps(wrap(decay), 3), {"w": params["w"]}, 27)
    np.testing.assert_array_equal(slowly["w"], alone)


@wrappers
def test_map_params_reaches_the_memory_and_the_moments(wrap):
    optimizer = wrap(optax.adam(0.1))
    state = optimizer.init(MIXED)
    twos = optax.tree.map_params(optimizer, lambda x: jnp.full_like(x, 2), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(twos, state)
    assert all((x == 2).all() for x in jax.tree.leaves(twos) if x.ndim)


@wrappers
def test_a_frozen_leaf_without_gradient_stays_without(wrap):
    optimizer = wrap(wdjax.decay_weights(0.1))
    params = {"w": MIXED["bf16"], "b": MIXED["f16"]}
    state = optimizer.init(params)
    u, new = optimizer.update(
        {"w": jnp.zeros(3, jnp.bfloat16), "b": None}, state, params
    )
    assert u["b"] is None
    assert (u["w"] != 0).any()
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_inject_hyperparams_is_cured_by_float32_weights():
    """Around bfloat16 weights it rounds β₂ = 0.999 to 1: NaN in the first step."""
    theta = normal(jnp.bfloat16, 8)
    injected = optax.inject_hyperparams(optax.adamw)(0.01)
    assert np.isnan(wide(train(injected, theta, 1, wave)[0])).all()
    cured, _ = train(precision.with_master_weights(injected), theta, 1, wave)
    assert np.isfinite(wide(cured)).all()


@wrappers
def test_extra_arguments_reach_the_optimizer(wrap):
    inner = optax.GradientTransformationExtraArgs(
        lambda p: optax.EmptyState(),
        lambda u, s, p=None, *, gain, **_: (jax.tree.map(lambda x: gain * x, u), s),
    )
    optimizer, theta = wrap(inner), jnp.ones(2, jnp.bfloat16)
    u, _ = optimizer.update(theta, optimizer.init(theta), theta, gain=2.0)
    np.testing.assert_array_equal(u, 2.0)


def test_missing_params_are_asked_for_by_name():
    names = ("with_master_weights", "with_error_feedback", "with_stochastic_rounding")
    for wrap, name in zip(WRAPPERS.values(), names, strict=True):
        optimizer, theta = wrap(optax.sgd(0.1)), jnp.ones(2, jnp.bfloat16)
        with pytest.raises(ValueError, match=f"{name} needs the parameters: call"):
            optimizer.update(theta, optimizer.init(theta))


@pytest.mark.parametrize("seed", [1.5, jnp.arange(2)])
def test_a_seed_that_is_none_is_refused(seed):
    as_users_call_it = inspect.unwrap(precision.with_stochastic_rounding)
    with pytest.raises(ValueError, match=r"seed is .*; it must be one integer"):
        as_users_call_it(optax.sgd(0.1), seed)


def test_adamw_on_a_network_stays_closer_to_float32_than_plain_bfloat16():
    """Gradients at the narrow weights, in float32 arithmetic, for all alike."""
    problem = wdjax.testing.small_network()
    adamw = wdjax.adamw(1e-3, 0.1)

    def single(params):
        return jax.tree.map(lambda p: p.astype(jnp.float32), params)

    def gradient(params, t):
        return problem.gradient(single(params), t)

    start = jax.tree.map(lambda p: p.astype(jnp.bfloat16), problem.params)
    exact, _ = train(adamw, single(start), 200, gradient)

    def distance(optimizer):
        last, _ = train(optimizer, start, 200, gradient)
        return optax.tree.norm(jax.tree.map(jnp.subtract, single(last), exact))

    plain = distance(adamw)
    for wrap in WRAPPERS.values():
        assert distance(wrap(adamw)) < 0.5 * plain
