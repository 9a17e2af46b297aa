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
from tests.sweep import conftest
from wdjax import sweep
from wdjax.inspect import probe, readings
from wdjax.testing import Problem, small_network
from wdjax.theory import stationary

pytestmark = pytest.mark.slow  # whole trainings

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


@pytest.mark.parametrize("count", [1, 2])
def test_calls_are_made_only_in_steps_that_are_read(count):
    """Under vmap too, where a batched predicate would have them made in every step."""
    calls = []

    def counted(updates, params):
        jax.debug.callback(lambda _: calls.append(1), params["hidden"]["bias"])
        return jax.tree.map(lambda u, p: -0.1 * u - 0.1 * p, updates, params)

    def one(scale):
        problem = PROBLEM._replace(params=jax.tree.map(scale.__mul__, PROBLEM.params))
        return trained(probe(optax.stateless(counted), every=3), 7, problem)

    jax.block_until_ready(jax.jit(jax.vmap(one))(jnp.ones(count)))
    jax.effects_barrier()
    # Seven updates; two readings, of a call each, and of one at 0 for all members.
    assert len(calls) == 7 * count + 2 * (count + 1)


def test_two_devices_read_their_own():
    mesh = jax.make_mesh((2,), ("cells",), axis_types=(AxisType.Auto,))
    rates = jnp.array([0.01, 0.02])

    def over_devices(wrap):
        split = jax.shard_map(
            jax.vmap(lambda rate: trained(wrap(wdjax.adamw(rate, 0.3)), steps=7)),
            mesh=mesh,
            in_specs=P("cells"),
            out_specs=P("cells"),
            check_vma=False,  # as in the engine
        )
        return jax.jit(split)(rates)

    path, state = over_devices(functools.partial(probe, every=3))
    assert same_bits((path, state.inner), over_devices(lambda optimizer: optimizer))
    expected = readings(members(rates)[1])
    for name, value in readings(state).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-8)


def test_a_leaf_that_is_spread_over_devices_is_read_whole():
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Auto,))
    params = {"w": jnp.arange(8.0).reshape(4, 2)}
    probed = probe(wdjax.adamw(0.1, 0.3), every=1)
    spread = jax.device_put(params, jax.NamedSharding(mesh, P("rows")))
    _, state = jax.jit(probed.update)(spread, probed.init(spread), spread)
    _, alone = jax.jit(probed.update)(params, probed.init(params), params)
    for name, value in readings(state).items():
        np.testing.assert_allclose(value, readings(alone)[name], rtol=1e-12)


def test_a_probe_passes_where_varying_axes_are_checked():
    """Inside shard_map a loop's carry must vary over the devices as it did before."""
    mesh = jax.make_mesh((2,), ("cells",), axis_types=(AxisType.Auto,))
    probed = probe(wdjax.adamw(0.1, 0.3), every=2)

    def over_devices(w):
        def body(carry, _):
            params, state = carry
            updates, state = probed.update(params, state, params)
            return (optax.apply_updates(params, updates), state), None

        params = {"w": w}
        (_, state), _ = jax.lax.scan(body, (params, probed.init(params)), length=4)
        return readings(state)["w.decay_rate"][None]

    split = jax.shard_map(
        over_devices, mesh=mesh, in_specs=P("cells"), out_specs=P("cells")
    )
    np.testing.assert_allclose(jax.jit(split)(jnp.arange(1.0, 5.0)), 0.03, rtol=1e-12)


def test_the_engine_draws_what_is_observed_and_trains_the_same(tmp_path):
    """Curves, a folder with checkpoints, resuming, two layouts, one labelled result."""
    data = sweep.arrays(conftest.random_dataset())
    grid = sweep.grid(seed=[0, 1], learning_rate=[0.05, 0.1], decay=[0.0, 0.3])

    def make(wrap, **options):
        return sweep.make_train(
            lambda key: {"layer": conftest.init(key)},
            lambda params, images: conftest.apply(params["layer"], images),
            lambda h: wrap(wdjax.adamw(h["learning_rate"], h["decay"])),
            steps=12,
            batch_size=6,
            records=4,
            **options,
        )

    predict = functools.partial(stationary.rotation_adamw, b1=0.9)
    observed = make(
        functools.partial(probe, every=3, predict=predict),
        observe=lambda hypers, params, state: wdjax.inspect.readings(state),
    )
    for block in (1, 2):
        layout = sweep.Layout(devices=2, block=block, chunk=4)
        folder = {"folder": tmp_path / str(block), "every": 0.0}
        found = sweep.run(observed, grid, data, layout=layout, **folder)
        plain = sweep.run(make(lambda optimizer: optimizer), grid, data, layout=layout)
        for name in plain:
            np.testing.assert_array_equal(found[name], plain[name])
        again = sweep.run(observed, grid, data, layout=layout, resume=True, **folder)
        assert again.identical(found.assign_attrs(again.attrs))
        delta = found.learning_rate * found.decay
        rates = found["layer.kernel.decay_rate"]
        assert rates.dims == ("seed", "learning_rate", "decay", "record")
        np.testing.assert_allclose(rates, delta.broadcast_like(rates), rtol=1e-12)
        np.testing.assert_allclose(
            found["layer.kernel.budget"][..., -1], 12 * rates[..., -1]
        )
        rho = 1 - rates
        expected = np.arccos((rho + 0.9) / (1 + 0.9 * rho))
        predicted = found["layer.kernel.predicted_rotation"]
        np.testing.assert_allclose(predicted, expected, rtol=1e-6, atol=1e-7)
        sweep.save(found, tmp_path / f"{block}.nc")  # netCDF refuses a slash in a name
        assert sweep.load(tmp_path / f"{block}.nc").equals(found)
