"""The probe in a training: under scan, vmap, shard_map, in wrappers, in the engine."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import wdjax
from tests.inspect.test_probe import same_bits
from wdjax import sweep, theory
from wdjax.inspect import ProbeState, probe, readings
from wdjax.testing import Problem, small_network
from wdjax.theory import equilibrium

PROBLEM = small_network()


def step(optimizer, problem, carry, t):
    params, state = carry
    gradient = problem.gradient(params, t)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


def trained(optimizer, steps=7, problem=PROBLEM):
    """Scan over steps: the parameters after each, and the last state."""

    def body(carry, t):
        carry = step(optimizer, problem, carry, t)
        return carry, carry[0]

    start = (problem.params, optimizer.init(problem.params))
    (_, state), path = jax.lax.scan(body, start, jnp.arange(steps))
    return path, state


def in_float32(problem):
    params = jax.tree.map(lambda x: x.astype(jnp.float32), problem.params)

    def gradient(params, t):
        wide = jax.tree.map(lambda x: x.astype(float), params)
        return jax.tree.map(lambda x: x.astype(jnp.float32), problem.gradient(wide, t))

    return Problem(params, gradient)


OPTIMIZERS = {
    "adamw": optax.adamw(0.01, weight_decay=0.1),
    "sgdw": wdjax.sgdw(0.05, 0.1, momentum=0.9),
    "sgd_l2": wdjax.sgd_l2(0.05, 0.1, momentum=0.9),
    "adam_l2": wdjax.adam_l2(0.01, 0.1),
    "lionw": wdjax.lionw(0.01, 0.1),
    "lamb": optax.lamb(0.01, weight_decay=0.1),
    "noisy": optax.noisy_sgd(0.01, key=0),
    "rms, l2": wdjax.rmsprop_l2(0.01, 0.1, momentum=0.9),
    "finite": optax.apply_if_finite(optax.adamw(0.01, weight_decay=0.1), 3),
    "lookahead-like": optax.chain(wdjax.adamw(0.01, 0.1), wdjax.hold_norm()),
}
OPTIONS = {"split_momentum": True, "every": 2}


@pytest.mark.parametrize("problem", [PROBLEM, in_float32(PROBLEM)], ids=["64", "32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_bit_of_a_scanned_training_changes(name, problem):
    """Compiled as a whole, where XLA could fuse what is read with what is trained."""
    optimizer = OPTIMIZERS[name]
    plain = jax.jit(lambda: trained(optimizer, problem=problem))()
    probed = jax.jit(lambda: trained(probe(optimizer, **OPTIONS), problem=problem))()
    assert same_bits((probed[0], probed[1].inner), plain)
    assert np.isfinite(float(readings(probed[1])["hidden.kernel.norm"]))


def test_one_jitted_update_changes_no_bit():
    optimizer = wdjax.adamw(0.01, 0.1)
    probed = probe(optimizer, every=1)
    params, gradient = PROBLEM.params, PROBLEM.gradient(PROBLEM.params, jnp.asarray(0))
    plain = jax.jit(optimizer.update)(gradient, optimizer.init(params), params)
    found = jax.jit(probed.update)(gradient, probed.init(params), params)
    assert same_bits((found[0], found[1].inner), plain)


def test_eager_scanned_and_jitted_readings_agree():
    probed = probe(wdjax.adam_l2(0.01, 0.1), **OPTIONS)
    carry = (PROBLEM.params, probed.init(PROBLEM.params))
    for t in range(6):
        carry = step(probed, PROBLEM, carry, jnp.asarray(t))
    _, state = trained(probed, steps=6)
    expected = readings(carry[1])
    for name, value in readings(state).items():
        # Two compilations of six steps; rotations lose half of the digits at 0.
        np.testing.assert_allclose(value, expected[name], rtol=1e-8, err_msg=name)


def members(rates):
    """Trainings at several learning rates at once."""

    def one(rate):
        return trained(probe(wdjax.adamw(rate, 0.3), every=3), steps=7)

    return jax.jit(jax.vmap(one))(rates)


def test_members_of_a_vmap_read_their_own():
    rates = jnp.array([0.01, 0.02, 0.04])
    path, state = members(rates)
    plain = jax.jit(jax.vmap(lambda r: trained(wdjax.adamw(r, 0.3), steps=7)))(rates)
    assert same_bits((path, state.inner), plain)
    together = readings(state)
    np.testing.assert_allclose(
        together["hidden.kernel.decay_rate"], rates * 0.3, rtol=1e-12
    )
    for i, rate in enumerate(rates):
        alone = readings(trained(probe(wdjax.adamw(rate, 0.3), every=3), steps=7)[1])
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][i], value, rtol=1e-8)


def test_members_at_different_steps_are_read_in_their_own():
    probed = probe(wdjax.adamw(0.1, 0.3), every=2)
    params = {"w": jnp.stack([jnp.arange(1.0, 4.0)] * 2)}
    state = jax.vmap(probed.init)(params)
    state = state._replace(step=jnp.array([0, 1]))
    _, state = jax.vmap(probed.update)(params, state, params)
    norm = np.sqrt(1.0 + 4 + 9)
    np.testing.assert_allclose(readings(state)["w.norm"], [np.nan, norm])


def test_a_vmapped_probe_reads_only_when_it_is_due():
    """A branch whose predicate is batched would be computed in every step."""
    text = jax.jit(members).lower(jnp.array([0.01, 0.02])).as_text()
    program = str(jax.make_jaxpr(members)(jnp.array([0.01, 0.02])))
    assert "while" in text
    assert "while[" in program
    assert "pred[2] = reduce_or" not in program.split("cond_jaxpr")[1].split("body")[0]


def test_two_devices_read_their_own():
    mesh = jax.make_mesh((2,), ("cells",), axis_types=(AxisType.Auto,))
    rates = jnp.array([0.01, 0.02])

    @jax.jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=P("cells"), out_specs=P("cells")
    )
    def over_devices(rates):
        path, state = jax.vmap(
            lambda r: trained(probe(wdjax.adamw(r, 0.3), every=3), steps=7)
        )(rates)
        return path, readings(state)

    path, seen = over_devices(rates)
    expected, state = members(rates)
    assert same_bits(path, expected)
    assert same_bits(seen, readings(state))


def test_a_leaf_that_is_spread_over_devices_is_read_whole():
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Auto,))
    params = {"w": jnp.arange(8.0).reshape(4, 2)}
    probed = probe(wdjax.adamw(0.1, 0.3), every=1)
    spread = jax.device_put(params, jax.NamedSharding(mesh, P("rows")))
    _, state = jax.jit(probed.update)(spread, probed.init(spread), spread)
    _, alone = jax.jit(probed.update)(params, probed.init(params), params)
    for name, value in readings(state).items():
        np.testing.assert_allclose(value, readings(alone)[name], rtol=1e-12)
