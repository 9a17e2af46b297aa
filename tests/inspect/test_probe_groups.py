"""Groups, wrappers, narrow dtypes, bad input: what a probe reads, and what it says."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.inspect.paths import ALPHA, LAM, gradients, thetas
from tests.inspect.test_probe import walk
from wdjax.inspect import probe, readings
from wdjax.theory import stationary


def adamw(**options):
    return wdjax.adamw(ALPHA, LAM, **options)


def test_a_group_is_read_as_one_vector():
    """Norms add in squares; the fraction is the mean of the leaves', by squares."""
    groups = {"all": ".*", "matrix": "kernel", "by rule": wdjax.where.matrices}
    row = walk(probe(adamw(where={"kernel": 1, "bias": 0}), every=1, groups=groups))[-1]
    squares = {leaf: np.sum(theta**2) for leaf, theta in thetas(3).items()}
    whole = squares["kernel"] + squares["bias"]
    assert row["all.norm"] == pytest.approx(np.sqrt(whole), rel=1e-12)
    share = ALPHA * LAM * squares["kernel"] / whole
    assert row["all.decay_rate"] == pytest.approx(share, rel=1e-12)
    assert row["matrix.decay_rate"] == pytest.approx(ALPHA * LAM, rel=1e-12)
    for field in ("norm", "rotation", "cosine", "budget"):
        assert row[f"by rule.{field}"] == row[f"matrix.{field}"]
    assert {name.split(".")[0] for name in row} == set(groups)


def test_masked_leaves_do_not_decay():
    mask = {"kernel": True, "bias": False}
    rows = walk(probe(optax.adamw(ALPHA, weight_decay=LAM, mask=mask), every=1))
    assert all(row["bias.decay_norm"] == 0 for row in rows)
    assert rows[-1]["kernel.budget"] == pytest.approx(4 * ALPHA * LAM, rel=1e-12)


def test_l2_on_some_leaves_leaves_the_others_known():
    where = {"kernel": 1, "bias": 0}
    with pytest.warns(UserWarning, match=r"weights of kernel.*split_momentum=True"):
        row = walk(probe(wdjax.adam_l2(ALPHA, LAM, where=where), every=1))[-1]
    assert row["bias.decay_rate"] == 0
    assert np.isnan(row["kernel.decay_rate"])


def test_a_schedule_is_followed_and_its_budget_summed():
    schedule = optax.linear_schedule(0.25, 0.0, 4)  # in float32: powers of 2 are exact
    rows = walk(probe(wdjax.adamw(schedule, 0.5), every=1))
    rates = [0.25 * (1 - t / 4) * 0.5 for t in range(4)]
    np.testing.assert_allclose([r["bias.decay_rate"] for r in rows], rates, rtol=1e-12)
    np.testing.assert_allclose(
        [r["bias.budget"] for r in rows], np.cumsum(rates), rtol=1e-12
    )


def test_a_reading_stands_until_the_next():
    rows = walk(probe(adamw(), every=3), steps=7)
    norms = [np.linalg.norm(thetas(t)["bias"]) for t in (2, 5)]
    seen = [row["bias.norm"] for row in rows]
    assert np.isnan(seen[:2]).all()
    np.testing.assert_allclose(seen[2:], [*3 * norms[:1], *2 * norms[1:]], rtol=1e-12)
    budgets = [row["bias.budget"] for row in rows]
    expected = ALPHA * LAM * np.array([0, 0, 3, 3, 3, 6, 6])
    np.testing.assert_allclose(budgets, expected, rtol=1e-12)


@pytest.mark.parametrize("inside", [True, False])
def test_accumulated_steps_decay_once(inside):
    """Inside MultiSteps a step is one that is taken; around it a mini-step is too."""

    def accumulated(optimizer):
        return optax.MultiSteps(optimizer, 2).gradient_transformation()

    if inside:
        optimizer = accumulated(probe(adamw(), every=1))
    else:
        optimizer = probe(accumulated(adamw()), every=1)
    rows = walk(optimizer)
    budgets = [row["kernel.budget"] for row in rows]
    np.testing.assert_allclose(budgets, ALPHA * LAM * np.array([0, 1, 1, 2]), rtol=1e-9)


def test_the_momentum_of_accumulated_steps_is_split():
    """Two mini-steps of one gradient at one point are one step, in float32."""
    inner = wdjax.adam_l2(ALPHA, LAM)
    around = optax.MultiSteps(inner, 2).gradient_transformation()
    optimizer, once = (probe(o, every=1, split_momentum=True) for o in (around, inner))
    state, single = optimizer.init(thetas(0)), once.init(thetas(0))
    for t in range(3):
        for _ in range(2):
            _, state = optimizer.update(gradients(t), state, thetas(t))
        _, single = once.update(gradients(t), single, thetas(t))
        for name, value in readings(single).items():
            np.testing.assert_allclose(
                readings(state)[name], value, rtol=1e-6, err_msg=name
            )


def test_narrow_weights_are_read_in_float32():
    """The realised rate is of the updates as they are rounded: 2⁻⁸ of each, at most."""
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), thetas(0))
    g = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), gradients(0))
    optimizer = adamw()
    plain, _ = optimizer.update(g, optimizer.init(params), params)
    probed = probe(optimizer, every=1)
    u, state = jax.jit(probed.update)(g, probed.init(params), params)
    for leaf in u:
        assert u[leaf].dtype == jnp.bfloat16
        np.testing.assert_array_equal(u[leaf], plain[leaf])
        wide = np.asarray(params[leaf], np.float64)
        norm = readings(state)[f"{leaf}.norm"]
        assert norm.dtype == jnp.float32
        np.testing.assert_allclose(norm, np.linalg.norm(wide), rtol=1e-6)
        largest = np.abs(np.asarray(u[leaf], np.float64)).max()
        size = np.sqrt(wide.size) * (2.0**-8) * (largest + ALPHA)
        delta = readings(state)[f"{leaf}.decay_rate"]
        assert abs(delta - ALPHA * LAM) * np.linalg.norm(wide) < size


def test_complex_weights_are_read_by_their_moduli():
    params = {"w": jnp.array([3 + 4j, 1j])}
    probed = probe(wdjax.sgdw(0.1, 0.5, momentum=None), every=1)
    _, state = probed.update(
        {"w": jnp.array([1j, 1.0 + 0j])}, probed.init(params), params
    )
    row = readings(state)
    assert row["w.norm"] == pytest.approx(np.sqrt(26))
    assert row["w.decay_rate"] == pytest.approx(0.05)
    assert jnp.isrealobj(row["w.norm"])


def test_frozen_leaves_and_leaves_of_zeros_have_numbers():
    params = {"frozen": jnp.ones(2), "zero": jnp.zeros(2)}
    probed = probe(wdjax.sgdw(0.1, 0.5), every=1)
    _, state = probed.update(
        {"frozen": None, "zero": jnp.ones(2)}, probed.init(params), params
    )
    row = readings(state)
    assert row["frozen.norm"] == pytest.approx(np.sqrt(2))
    assert row["frozen.update_norm"] == row["frozen.rotation"] == 0
    assert row["zero.update_norm"] == pytest.approx(0.1 * np.sqrt(2))
    assert row["zero.rotation"] == row["zero.decay_rate"] == row["zero.cosine"] == 0


def test_what_is_not_finite_is_not_hidden():
    params = {"w": jnp.array([1.0, jnp.inf])}
    probed = probe(adamw(), every=1)
    _, state = probed.update({"w": jnp.ones(2)}, probed.init(params), params)
    assert not np.isfinite(readings(state)["w.norm"])
    assert np.isnan(readings(state)["w.decay_rate"])


def test_a_partition_holds_probes_of_its_own():
    labels = {"kernel": "matrix", "bias": "vector"}
    optimizer = optax.partition(
        {"matrix": probe(adamw(), every=1), "vector": probe(optax.sgd(0.1), every=1)},
        labels,
    )
    row = walk(optimizer)[-1]
    assert row["kernel.decay_rate"] == pytest.approx(ALPHA * LAM)
    assert row["bias.decay_rate"] == 0


def test_the_prediction_is_made_of_the_realised_rate():
    rotation = stationary.rotation_sgd_l2(0.1, 0.02, 0.9)
    probed = probe(adamw(), every=1, predict=lambda delta: delta * 0 + rotation)
    assert walk(probed)[0]["bias.predicted_rotation"] == pytest.approx(float(rotation))
    assert "bias.predicted_rotation" not in walk(probe(adamw(), every=1))[0]


def test_a_state_can_be_written_down_and_taken_up():
    """Half a run, its state through bytes, and the other half: the whole run's bits."""
    probed = probe(wdjax.adam_l2(ALPHA, LAM), every=2, split_momentum=True)
    state = probed.init(thetas(0))
    whole = [
        state := probed.update(gradients(t), state, thetas(t))[1] for t in range(6)
    ]
    leaves, structure = jax.tree.flatten(whole[2])
    kept = pickle.loads(pickle.dumps([*map(np.asarray, leaves)]))
    state = structure.unflatten(jax.tree.map(jnp.asarray, kept))
    for t in range(3, 6):
        _, state = probed.update(gradients(t), state, thetas(t))
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(whole[5]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_is_a_few_numbers_for_each_leaf():
    state = probe(adamw()).init(thetas(0))
    extra = jax.tree.leaves(state._replace(inner=()))
    assert sum(leaf.size for leaf in extra) == 1 + 2 * 8


def test_bad_input_meets_a_sentence():
    with pytest.raises(ValueError, match="every is 0; it must be at least 1"):
        probe(adamw(), every=0)
    with pytest.raises(ValueError, match=r"pattern 'kernle' matches no leaf"):
        probe(adamw(), groups={"a": "kernle"}).init(thetas(0))
    with pytest.raises(ValueError, match=r"wrap the optimizer in wdjax\.probe"):
        readings(adamw().init(thetas(0)))
    probed = probe(adamw())
    with pytest.raises(ValueError, match="probe needs the parameters"):
        probed.update(gradients(0), probed.init(thetas(0)))
    twice = probe(probe(adamw()))
    with pytest.raises(ValueError, match="Two groups of probes are called"):
        readings(twice.init(thetas(0)))


def test_nothing_is_warned_of_what_is_known_or_cannot_be():
    walk(probe(adamw()), steps=1)
    walk(probe(optax.lamb(ALPHA, weight_decay=LAM)), steps=1)


def test_equilibrium_rotations_are_those_of_random_walks():
    """Random gradients across the weights, as long as those of a scale-free loss."""
    rate, decay, d, steps = 0.05, 0.1, 400, 3000

    def walked(optimizer, predict):
        probed = probe(optimizer, every=1, predict=predict, split_momentum=True)

        def step(carry, key):
            theta, state = carry
            g = jax.random.normal(key, (d,))
            norm = jnp.linalg.norm(theta)
            g = (g - (g @ theta) / norm**2 * theta) / norm
            u, state = probed.update({"w": g}, state, {"w": theta})
            seen = readings(state)
            return (theta + u["w"], state), (
                seen["w.rotation"],
                seen["w.predicted_rotation"],
            )

        theta = jax.random.normal(jax.random.key(0), (d,))
        keys = jax.random.split(jax.random.key(1), steps)
        start = (theta, probed.init({"w": theta}))
        return [x[steps // 2 :] for x in jax.lax.scan(step, start, keys)[1]]

    for optimizer, predict in (
        (wdjax.adamw(rate, decay), lambda d: stationary.rotation_adamw(d, 0.9)),
        (
            wdjax.sgd_l2(rate, decay, momentum=0.9),
            lambda d: stationary.rotation_sgd_l2(rate, decay, 0.9) + 0 * d,
        ),
    ):
        rotation, predicted = jax.jit(lambda o=optimizer, p=predict: walked(o, p))()
        # First order in δ/(1 − β): δ = 0.005 here; and 400 dimensions.
        ratio = np.sqrt(np.mean(rotation**2)) / predicted[-1]
        assert ratio == pytest.approx(1, abs=0.05)


REMEMBERED = {
    "start": lambda: wdjax.decay_weights(LAM, target=wdjax.target.initial),
    "average": lambda: wdjax.decay_weights(LAM, target=wdjax.target.average(0.9)),
}


@pytest.mark.parametrize("name", REMEMBERED)
def test_remembered_weights_are_no_share_of_a_momentum(name):
    """Whatever is asked for: what is kept of them is not linear in the gradients."""
    optimizer = optax.chain(optax.adam(ALPHA), REMEMBERED[name]())
    for row in walk(probe(optimizer, every=1, split_momentum=True)):
        assert np.isnan(row["kernel.decay_rate"])
        assert np.isfinite(row["kernel.rotation"])


def test_a_probe_inside_knows_what_one_outside_does_not():
    """The master copy is the state's, and decays as wide weights do."""
    wrap = wdjax.precision.with_master_weights
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), thetas(0))
    rates = []
    for optimizer in (probe(wrap(adamw()), every=1), wrap(probe(adamw(), every=1))):
        _, state = optimizer.update(params, optimizer.init(params), params)
        rates.append(readings(state)["kernel.decay_rate"])
    assert np.isnan(rates[0])
    assert rates[1] == pytest.approx(ALPHA * LAM, rel=1e-5)  # float32


def test_a_share_is_kept_up_in_steps_that_are_not_read():
    optimizer = wdjax.adam_l2(ALPHA, LAM)
    often, seldom = (
        walk(probe(optimizer, every=every, split_momentum=True), steps=6)[-1]
        for every in (1, 3)
    )
    for name, value in often.items():
        if not name.endswith("budget"):
            assert seldom[name] == value


def test_skipping_what_is_not_finite_hides_no_decay():
    optimizer = optax.apply_if_finite(optax.adamw(ALPHA, weight_decay=LAM), 3)
    rows = walk(probe(optimizer, every=1))
    assert rows[-1]["kernel.budget"] == pytest.approx(4 * ALPHA * LAM, rel=1e-12)
