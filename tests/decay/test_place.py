"""The two places on their own: signs, dtypes, containers, transformations."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import pull, target

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([4.0, -1.0])}
UPDATES = {"w": jnp.array([[0.1, 0.2], [-0.3, 0.4]]), "b": jnp.array([0.0, 1.0])}
DTYPES = [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64]
RATES = {
    "python": 0.25,
    "float64 array": jnp.array(0.25),
    "float32 array": jnp.array(0.25, jnp.float32),
    "schedule": optax.linear_schedule(0.25, 0.0, 10),
}
PLACES = {"add_l2": (wdjax.add_l2, 1), "decay_weights": (wdjax.decay_weights, -1)}
places = pytest.mark.parametrize(("make", "sign"), PLACES.values(), ids=PLACES)


@chex.dataclass
class Layer:
    kernel: jax.Array
    bias: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Registered:
    value: jax.Array


def once(transformation, updates, params):
    return transformation.update(updates, transformation.init(params), params)[0]


def test_add_l2_adds_a_multiple_of_the_parameters():
    g = once(wdjax.add_l2(0.25), UPDATES, PARAMS)
    chex.assert_trees_all_equal(
        g, jax.tree.map(lambda g, p: g + 0.25 * p, UPDATES, PARAMS)
    )


def test_decay_weights_removes_a_fraction_of_the_parameters():
    """Not a constant, not a fraction of the update, and towards the origin."""
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    for delta in (0.25, 1e-3):
        u = once(wdjax.decay_weights(delta), zeros, PARAMS)
        theta = optax.apply_updates(PARAMS, u)
        # One rounding of each of two products.
        chex.assert_trees_all_close(
            theta, jax.tree.map(lambda p, d=delta: (1 - d) * p, PARAMS), rtol=1e-15
        )


def test_l2_penalty_is_half_the_squared_norm():
    # ½ · 0.3 · (1 + 4 + ¼ + 9 + 16 + 1), by hand.
    assert wdjax.l2_penalty(PARAMS, 0.3) == pytest.approx(0.15 * 31.25, rel=1e-15)
    only_w = wdjax.l2_penalty(PARAMS, 0.3, where={"w": 0.5, "b": 0.0})
    assert only_w == pytest.approx(0.15 * 0.5 * 14.25, rel=1e-15)


def test_l2_penalty_has_add_l2_for_its_gradient():
    where = {"w": 0.5, "b": True}
    gradient = jax.grad(wdjax.l2_penalty)(PARAMS, 0.3, where=where)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    chex.assert_trees_all_close(
        once(wdjax.add_l2(0.3, where=where), zeros, PARAMS), gradient, rtol=1e-15
    )


def test_l2_penalty_refuses_what_add_l2_refuses():
    with pytest.raises(ValueError, match="a target norm with a pull"):
        wdjax.l2_penalty({"w": jnp.ones(2)}, 0.1, pull=pull.l1, target=target.norm(0.5))
    with pytest.raises(ValueError, match="'z' is complex"):
        wdjax.l2_penalty({"z": jnp.ones(2, complex)}, 0.1, pull=pull.l1)


def test_python_numbers_are_weights_too():
    params, step = {"a": 2.0}, {"a": -0.25}
    assert wdjax.l2_penalty(params, 0.5) == 1.0
    assert once(wdjax.add_l2(0.5), step, params)["a"] == 0.75
    assert once(wdjax.decay_weights(0.5), step, params)["a"] == -1.25


def test_l2_penalty_of_nothing_is_zero():
    assert wdjax.l2_penalty({}, 0.3) == 0
    assert wdjax.l2_penalty({}, 1).dtype == float
    assert wdjax.l2_penalty(PARAMS, 0.3, where=0.0) == 0


def test_l2_penalty_does_not_overflow_in_float16():
    """300² is beyond float16; the squares are summed in float32."""
    params = {"w": jnp.full((4,), 300.0, jnp.float16)}
    assert wdjax.l2_penalty(params, 1.0) == pytest.approx(180_000.0)


def test_complex_leaves_are_pulled_towards_the_origin():
    """Autodiff of ½|θ|² is the conjugate of what must be added to a gradient."""
    params = {"z": jnp.array([1.0 + 2.0j])}
    zeros = jax.tree.map(jnp.zeros_like, params)
    added = once(wdjax.add_l2(0.5), zeros, params)["z"]
    np.testing.assert_array_equal(added, 0.5 * params["z"])
    autodiff = jax.grad(wdjax.l2_penalty)(params, 0.5)["z"]
    np.testing.assert_array_equal(added, jnp.conj(autodiff))
    assert wdjax.l2_penalty(params, 0.5) == pytest.approx(0.25 * 5)


@places
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: jnp.dtype(d).name)
def test_each_leaf_keeps_its_dtype(make, sign, rate, dtype):
    params, updates = (
        jax.tree.map(lambda x: x.astype(dtype), t) for t in (PARAMS, UPDATES)
    )
    pulled = once(make(rate), updates, params)
    # Formed in float32 at least, and rounded once to the leaf's dtype.
    wide = jnp.promote_types(dtype, jnp.float32)
    expected = jax.tree.map(
        lambda u, p: (u.astype(wide) + sign * 0.25 * p.astype(wide)).astype(dtype),
        updates,
        params,
    )
    chex.assert_trees_all_equal(pulled, expected)
    chex.assert_trees_all_equal_dtypes(pulled, params)


@places
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=lambda d: d.__name__)
def test_narrow_gradients_of_wide_weights_lose_no_pull(make, sign, dtype):
    """In bfloat16, 1 ± 1e-3 is 1."""
    params = {"w": jnp.array([1.0, 0.7], dtype)}
    updates = {"w": jnp.ones(2, jnp.bfloat16)}
    pulled = once(make(1e-3), updates, params)["w"]
    assert pulled.dtype == dtype
    expected = 1 + sign * 1e-3 * np.array([1.0, 0.7], dtype)
    # A rounding of the product and one of the sum.
    np.testing.assert_allclose(pulled, expected, rtol=2 * np.finfo(dtype).eps)


def test_a_proximal_step_of_zero_leaves_the_update_bit_by_bit():
    """Also where the step lands on the target, as far as rounding can tell."""
    rng = np.random.default_rng(0)
    theta, u = (jnp.asarray(rng.normal(size=200)) for _ in range(2))
    assert (-(theta - (theta + u)) != u).any()  # the way to the target is not the step
    towards = target.towards({"w": theta + u})
    decay = wdjax.decay_weights_proximally(0.0, target=towards)
    np.testing.assert_array_equal(once(decay, {"w": u}, {"w": theta})["w"], u)


@places
def test_leaves_of_several_dtypes_are_each_pulled_once(make, sign):
    params = {d.__name__: jnp.array([2.0, -4.0], d) for d in DTYPES}
    zeros = jax.tree.map(jnp.zeros_like, params)
    pulled = once(make(0.25), zeros, params)
    for name, u in pulled.items():
        assert u.dtype == params[name].dtype
        np.testing.assert_array_equal(u.astype(float), sign * np.array([0.5, -1.0]))


@places
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)
def test_a_narrow_sum_is_rounded_once(make, sign, dtype):
    """u + cθ by NumPy in float32, one rounding at the end; c itself is not rounded."""
    rng = np.random.default_rng(0)
    u, theta = (jnp.asarray(rng.normal(size=200), dtype) for _ in range(2))
    wide = [np.asarray(x, np.float32) for x in (u, theta)]
    expected = jnp.asarray(wide[0] + sign * np.float32(0.3) * wide[1], dtype)
    chex.assert_trees_all_equal(once(make(0.3), u, theta), expected)
    twice = u + sign * jnp.asarray(0.3, dtype) * theta
    assert (twice != expected).any()  # so the test can tell


@places
def test_multiplier_zero_leaves_infinities_and_nans_alone(make, sign):
    params = {"w": jnp.array([jnp.inf, jnp.nan]), "b": jnp.array([1.0])}
    updates = jax.tree.map(jnp.zeros_like, params)
    for where in ({"w": 0.0, "b": 1.0}, {"w": False, "b": True}):
        pulled = once(make(0.25, where=where), updates, params)
        np.testing.assert_array_equal(pulled["w"], [0.0, 0.0])
        np.testing.assert_array_equal(pulled["b"], [sign * 0.25])


@places
def test_a_traced_zero_multiplies(make, sign):
    """What is traced cannot be left out: only finite leaves survive it."""

    @jax.jit
    def pull(m):
        return once(make(0.25, where={"w": m, "b": 1.0}), UPDATES, PARAMS)

    np.testing.assert_array_equal(pull(0.0)["w"], UPDATES["w"])
    np.testing.assert_array_equal(
        pull(2.0)["w"], UPDATES["w"] + sign * 0.5 * PARAMS["w"]
    )


@places
def test_the_schedule_counts_the_steps_from_zero(make, sign):
    pull = make(lambda t: jnp.array([0.0, 0.1, 0.4])[t])
    state, seen = pull.init(PARAMS), []
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    for _ in range(3):
        u, state = pull.update(zeros, state, PARAMS)
        seen.append(float(u["b"][0]) / 4.0)
    assert seen == [0.0, sign * 0.1, sign * 0.4]
    assert state.step == 3


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (wdjax.add_l2, "add_l2"),
        (wdjax.decay_weights, "decay_weights"),
        (lambda r: wdjax.adamw(0.1, r), "decay_weights"),
        (lambda r: wdjax.sgd_l2(0.1, r), "add_l2"),
    ],
)
def test_missing_params_are_asked_for_by_name(make, name):
    optimizer = make(0.1)
    with pytest.raises(ValueError, match=f"{name} needs the parameters: call"):
        optimizer.update(UPDATES, optimizer.init(PARAMS))


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, jnp.array(-1.0)])
def test_a_bad_rate_is_refused_by_its_own_name(bad):
    for make, name in (
        (wdjax.add_l2, "l2"),
        (lambda r: wdjax.l2_penalty(PARAMS, r), "l2"),
        (lambda r: wdjax.with_l2(optax.sgd(0.1), r), "l2"),
        (wdjax.decay_weights, "decay_rate"),
        (wdjax.decay_weights_after, "decay_rate"),
        (wdjax.decay_weights_proximally, "decay_rate"),
        (lambda r: wdjax.with_weight_decay(optax.sgd(0.1), r), "decay_rate"),
    ):
        with pytest.raises(ValueError, match=f"^{name} is .*; it must be finite"):
            make(bad)


CONTAINERS = {
    "array": jnp.ones(2),
    "scalar": jnp.array(2.0),
    "dict": {"a": jnp.ones(2)},
    "tuple": (jnp.ones(2), (jnp.ones(1),)),
    "list": [jnp.ones(2), None],
    "chex": Layer(kernel=jnp.ones((2, 2)), bias=jnp.ones(2)),
    "registered": {"x": Registered(jnp.ones(2))},
    "empty": {},
}


@places
@pytest.mark.parametrize("params", CONTAINERS.values(), ids=CONTAINERS)
def test_any_container_will_do(make, sign, params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    pulled = once(make(0.25), zeros, params)
    chex.assert_trees_all_equal(pulled, jax.tree.map(lambda p: sign * 0.25 * p, params))


@places
def test_numpy_parameters_will_do(make, sign):
    params = {"w": np.array([1.0, 2.0])}
    pulled = once(make(0.25), jax.tree.map(np.zeros_like, params), params)
    np.testing.assert_array_equal(pulled["w"], sign * 0.25 * params["w"])


@places
def test_a_frozen_leaf_without_gradient_stays_without(make, sign):
    pulled = once(make(0.25), {"w": UPDATES["w"], "b": None}, PARAMS)
    assert pulled["b"] is None
    np.testing.assert_array_equal(pulled["w"], UPDATES["w"] + sign * 0.25 * PARAMS["w"])


def test_flax_nnx_trains_with_a_decayed_optimizer():
    nnx = pytest.importorskip("flax.nnx", reason="needs Flax")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    before = np.asarray(model.kernel[...])
    rule = wdjax.where.by_path({"kernel": 1.0}, default=0.0)
    optimizer = nnx.Optimizer(model, wdjax.sgdw(0.5, 0.5, where=rule), wrt=nnx.Param)
    gradients = jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param))
    optimizer.update(model, gradients)
    np.testing.assert_allclose(model.kernel[...], 0.75 * before, rtol=1e-6)  # float32


def test_a_fraction_above_one_is_refused_where_it_would_turn_the_weights_over():
    """The proximal place divides, and other pulls have no fractions: they take it."""
    for make in (wdjax.decay_weights, wdjax.decay_weights_after):
        with pytest.raises(
            ValueError, match=r"^decay_rate is 1\.5; it is the fraction"
        ):
            make(1.5)
        make(1.5, pull=wdjax.pull.l1)
        make(1.0)
    wdjax.decay_weights_proximally(1.5)


def test_nothing_is_counted_that_no_choice_needs():
    for gate in (wdjax.gate.always, wdjax.gate.cautious()):
        assert wdjax.decay_weights(0.1, gate=gate).init(PARAMS).step is None
        assert wdjax.decay_weights(lambda t: 0.1, gate=gate).init(PARAMS).step == 0
    drawing = wdjax.decay_weights(0.1, gate=wdjax.gate.stochastic(0.5))
    assert drawing.init(PARAMS).step == 0
