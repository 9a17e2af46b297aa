"""Targets in wrappers: memory, donation, hidden leaves, dtypes, members."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import target

STEPS = 12
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([4.0, -1.0])}
POINT = {"w": jnp.array([[0.5, 1.0], [-2.0, 3.5]]), "b": jnp.array([-1.0, 2.0])}
ONLY_W = wdjax.where.by_path({"w": 1.0}, default=0.0)
TARGETS = {
    "initial": target.initial,
    "average": target.average(0.9),
    "towards": target.towards(POINT),
    "norm": target.norm(3.0),
    "initial_norm": target.initial_norm(2.0),
}
targets = pytest.mark.parametrize("aim", TARGETS.values(), ids=TARGETS)


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


@targets
@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, jnp.float16, jnp.float32], ids=lambda d: d.__name__
)
def test_narrow_weights_are_pulled_in_float32_and_rounded_once(aim, dtype):
    """The same pull in float64 from the same rounded weights, rounded at the end."""
    params, point = (
        jax.tree.map(lambda p: p.astype(dtype), t) for t in (PARAMS, POINT)
    )
    decay = wdjax.decay_weights(0.3, target=aim)
    state = decay.init(point)
    updates, new = decay.update(zeros_like(params), state, params)
    chex.assert_trees_all_equal_dtypes(updates, params)
    chex.assert_trees_all_equal_dtypes(new, state)
    wide, start = (jax.tree.map(lambda p: p.astype(float), t) for t in (params, point))
    exact, _ = decay.update(zeros_like(wide), decay.init(start), wide)
    # Half an ulp of the result (of float32: a few, of numbers below 5).
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(
        jax.tree.map(lambda u: u.astype(float), updates), exact, rtol=eps, atol=1e-6
    )


@pytest.mark.parametrize(
    "aim",
    [
        target.average(0.9 * jnp.ones(())),
        target.norm(3.0 * jnp.ones(())),
        target.initial_norm(2.0 * jnp.ones(())),
    ],
    ids=lambda aim: type(aim).__name__,
)
def test_a_wide_setting_does_not_widen_the_memory(aim):
    """As a sweep would give it: an array of float64, beside bfloat16 weights."""
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    decay = wdjax.decay_weights(0.3, target=aim)
    state = decay.init(params)
    _, new = decay.update(params, state, jax.tree.map(lambda p: 2 * p, params))
    for memory in (state.target, new.target):
        assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(memory))


def test_a_float16_norm_does_not_overflow():
    theta = jnp.full(4, 300.0, jnp.float16)  # 300² is beyond float16
    decay = wdjax.decay_weights(0.5, target=target.norm(300.0))
    updates, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
    np.testing.assert_array_equal(theta + updates, np.full(4, 225.0))  # (600 + 300)/2


@targets
def test_only_pulled_leaves_are_remembered(aim):
    memory = wdjax.decay_weights(0.1, target=aim, where=ONLY_W).init(PARAMS).target
    assert memory["b"] is None
    kept = 1 if isinstance(aim, target.Norm | target.InitialNorm) else 4
    assert memory["w"].size == kept


@targets
def test_memory_is_a_copy_so_that_parameters_can_be_donated(aim):
    optimizer = optax.chain(optax.sgd(0.1), wdjax.decay_weights(0.2, target=aim))

    def step(params, state):
        updates, state = optimizer.update(POINT, state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.array, PARAMS)
    state = optimizer.init(params)
    donating = jax.jit(step, donate_argnums=(0, 1))
    for _ in range(3):
        old = params
        params, state = donating(params, state)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
    point = POINT["w"] + 0.0  # the caller's own tree has not been donated
    kicks = jax.tree.map(lambda g: jnp.stack([g] * 3), POINT)
    alone = path(optimizer, PARAMS, kicks)
    np.testing.assert_allclose(params["w"], alone["w"][-1], rtol=1e-14)
    assert point.shape == (2, 2)


@targets
@pytest.mark.parametrize("wrap", ["partition", "masked"])
def test_hidden_leaves_are_skipped(aim, wrap):
    """Each group aims as if it were alone; what is hidden is nobody's miss."""
    optimizer = wdjax.decay_weights(0.2, target=aim)
    kicks = jax.tree.map(lambda p: jnp.sin(at_rest(p) + p[None]), PARAMS)
    if wrap == "partition":
        groups = {"yes": optimizer, "no": optax.set_to_zero()}
        wrapped = optax.partition(groups, {"w": "yes", "b": "no"})
    else:
        wrapped = optax.masked(optimizer, {"w": True, "b": False})
    theta = path(wrapped, PARAMS, kicks)["w"]
    if isinstance(aim, target.Towards):
        optimizer = wdjax.decay_weights(0.2, target=target.towards({"w": POINT["w"]}))
    alone = path(optimizer, {"w": PARAMS["w"]}, {"w": kicks["w"]})["w"]
    np.testing.assert_allclose(theta, alone, rtol=1e-14)


def test_whole_hidden_subtrees_are_skipped():
    params = {"body": {"k": jnp.ones(2), "b": jnp.ones(1)}, "head": jnp.ones(3)}
    decay = wdjax.decay_weights(0.5, target=target.towards(zeros_like(params)))
    masked = optax.masked(decay, {"body": False, "head": True})
    updates, _ = masked.update(zeros_like(params), masked.init(params), params)
    np.testing.assert_array_equal(updates["head"], -0.5 * np.ones(3))
    np.testing.assert_array_equal(updates["body"]["k"], np.zeros(2))


def test_where_everything_is_hidden_no_point_is_in_excess():
    decay = wdjax.decay_weights(0.5, target=target.towards(POINT))
    masked = optax.masked(decay, False)
    updates, _ = masked.update(POINT, masked.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal(updates, POINT)


SCALED = {
    "average": target.average,
    "norm": target.norm,
    "initial_norm": target.initial_norm,
    "towards": lambda x: target.towards(jax.tree.map(lambda p: x * p, POINT)),
}


@pytest.mark.parametrize("make", SCALED.values(), ids=SCALED)
def test_member_i_of_a_vmapped_run_is_run_i(make):
    kicks = jax.tree.map(lambda p: jnp.sin(at_rest(p, 4) + p[None]), PARAMS)

    def run(x):
        return path(wdjax.decay_weights(0.2, target=make(x)), PARAMS, kicks)

    values = jnp.array([0.0, 0.4, 0.9])
    together = jax.vmap(run)(values)
    for i, x in enumerate(values):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        chex.assert_trees_all_close(member, run(float(x)), rtol=1e-13)  # fusion


@targets
def test_map_params_reaches_the_memory(aim):
    decay = wdjax.decay_weights(0.1, target=aim)
    state = decay.init(PARAMS)
    ones = optax.tree.map_params(decay, jnp.ones_like, state)
    assert all((x == 1).all() for x in jax.tree.leaves(ones.target))
    assert len(jax.tree.leaves(ones.target)) == 2


def test_map_params_reaches_a_stacked_norm():
    decay = wdjax.decay_weights(0.1, target=target.norm(2.0, stacked={"w": 1}))
    ones = optax.tree.map_params(decay, jnp.ones_like, decay.init(PARAMS))
    np.testing.assert_array_equal(ones.target["w"], np.ones((2, 1)))


def test_the_given_point_is_an_argument_of_the_program():
    """A constant of its size would be compiled into every program anew."""
    params = jnp.ones(1000)
    decay = wdjax.decay_weights(0.1, target=target.towards(2 * params))
    text = jax.jit(decay.update).lower(params, decay.init(params), params).as_text()
    assert "dense<2." not in text
    assert "dense_resource" not in text


def test_under_multi_steps_the_average_meets_applied_steps_only():
    decay = wdjax.decay_weights(0.0, target=target.average(0.5))
    optimizer = optax.MultiSteps(decay, every_k_schedule=2)
    state = optimizer.init(jnp.array(0.0))
    for _ in range(4):
        _, state = optimizer.update(jnp.array(0.0), state, jnp.array(8.0))
    assert state.inner_opt_state.target == 6.0  # 0 → 4 → 6


MISFITS = {
    "lacks": ({"w": POINT["w"]}, "no leaf 'b', which the parameters have"),
    "excess": ({**POINT, "c": jnp.ones(1)}, "leaf 'c', which the parameters do not"),
    "shape": ({**POINT, "b": jnp.ones(3)}, r"leaf 'b' of the point has shape \(3,\)"),
}


@pytest.mark.parametrize(("tree", "sentence"), MISFITS.values(), ids=MISFITS)
def test_a_point_that_does_not_fit_is_refused_by_its_leaf(tree, sentence):
    decay = wdjax.decay_weights(0.1, target=target.towards(tree))
    with pytest.raises(ValueError, match=sentence):
        decay.init(PARAMS)
