"""Multipliers for each weight, and the scale-adjusted penalty that they make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import where

RNG = np.random.default_rng(0)
PARAMS = {
    "w": jnp.asarray(RNG.normal(size=(2, 3))),
    "b": jnp.asarray(RNG.normal(size=3)),
}
SCALES = {
    "w": jnp.asarray(RNG.uniform(0.2, 5.0, size=(2, 3))),
    "b": jnp.asarray(RNG.uniform(0.2, 5.0, size=3)),
}
ALPHA, DELTA, STEPS = 0.02, 0.03, 200
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def gradient(theta, t):
    return np.sin(3.0 * theta + t) + 0.1 * theta


def preconditioned(l2):
    """L2 in front of a fixed preconditioner, diag(s)⁻¹."""
    divide = optax.stateless(lambda g, _: jax.tree.map(jnp.divide, g, SCALES))
    return optax.chain(wdjax.add_l2(l2, where=SCALES), divide, optax.scale(-ALPHA))


def decoupled_by_hand(name):
    """θ ← (1 − δ)θ − αM∇f(θ) in NumPy."""
    theta, s = np.asarray(PARAMS[name]), np.asarray(SCALES[name])
    for t in range(STEPS):
        theta = (1 - DELTA) * theta - ALPHA / s * gradient(theta, t)
    return theta


def run(optimizer):
    def step(carry, t):
        params, state = carry
        g = jax.tree.map(lambda p: jnp.sin(3.0 * p + t) + 0.1 * p, params)
        updates, state = optimizer.update(g, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (PARAMS, optimizer.init(PARAMS))
    return jax.lax.scan(step, start, jnp.arange(STEPS))[0][0]


def test_scale_adjusted_l2_is_decoupled_decay_under_a_fixed_preconditioner():
    """Loshchilov & Hutter 2019, Proposition 3: f + (δ/2α)‖θ⊙√s‖²."""
    theta = run(preconditioned(DELTA / ALPHA))
    for name, leaf in theta.items():
        # The same sums in another order, and a contraction: 1e-12 is thousands of ulps.
        np.testing.assert_allclose(
            leaf, decoupled_by_hand(name), rtol=1e-12, atol=1e-12
        )


def test_the_printed_coefficient_of_proposition_3_misses():
    """Eq. (2) has λ'/(2α) with λ' = δ/α: α too often by one."""
    printed = run(preconditioned(DELTA / ALPHA / ALPHA))
    assert any(
        np.abs(printed[name] - decoupled_by_hand(name)).max() > 1e-2 for name in printed
    )


def test_the_penalty_with_scales_is_half_the_scaled_norm():
    # (λ₂/2)‖θ⊙√s‖², by NumPy.
    expected = 0.15 * sum(
        np.sum((np.asarray(PARAMS[k]) * np.sqrt(SCALES[k])) ** 2) for k in PARAMS
    )
    penalty = wdjax.l2_penalty(PARAMS, 0.3, where=SCALES)
    assert penalty == pytest.approx(expected, rel=1e-14)
    gradient = jax.grad(wdjax.l2_penalty)(PARAMS, 0.3, where=SCALES)
    l2 = wdjax.add_l2(0.3, where=SCALES)
    added, _ = l2.update(ZEROS, l2.init(PARAMS), PARAMS)
    for k, s in SCALES.items():
        np.testing.assert_allclose(added[k], 0.3 * s * PARAMS[k], rtol=1e-15)
        np.testing.assert_allclose(added[k], gradient[k], rtol=1e-14)


PLACES = {
    "add_l2": (wdjax.add_l2, lambda u, x, c: u + c * x),
    "decay_weights": (wdjax.decay_weights, lambda u, x, c: u - c * x),
    "after": (wdjax.decay_weights_after, lambda u, x, c: u - c * (x + u)),
    "proximal": (
        wdjax.decay_weights_proximally,
        lambda u, x, c: (x + u) / (1 + c) - x,
    ),
}
SHAPES = [(2, 3), (1, 3), (2, 1), (1, 1), (3,), (1,), ()]


@pytest.mark.parametrize(("make", "by_hand"), PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_a_multiplier_broadcasts_to_its_leaf_in_every_place(make, by_hand, shape, kind):
    m = np.linspace(0.0, 2.0, int(np.prod(shape))).reshape(shape)
    pull = make(0.25, where={"w": kind(m), "b": 0.0})
    w = np.asarray(PARAMS["w"])
    u = {"w": jnp.cos(PARAMS["w"]), "b": PARAMS["b"]}
    moved, _ = pull.update(u, pull.init(PARAMS), PARAMS)
    expected = by_hand(np.cos(w), w, 0.25 * np.broadcast_to(m, w.shape))
    np.testing.assert_allclose(moved["w"], expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_array_equal(moved["b"], PARAMS["b"])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_a_narrow_leaf_keeps_its_dtype_and_is_rounded_once(dtype):
    theta = jnp.asarray(RNG.normal(size=(4, 5)), dtype)
    m = np.float64(0.3) * np.arange(5.0)
    decay = wdjax.decay_weights(0.01, where=m)
    u, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
    c = np.float32(0.01) * m.astype(np.float32)
    expected = jnp.asarray(-c * np.asarray(theta, np.float32), dtype)
    assert u.dtype == dtype
    np.testing.assert_array_equal(u, expected)


def test_bools_and_integers_may_be_arrays():
    decay = wdjax.decay_weights(0.5, where={"w": np.array([True, False, True]), "b": 2})
    u, _ = decay.update(ZEROS, decay.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(u["w"], -0.5 * PARAMS["w"] * np.array([[1.0, 0, 1]]))
    np.testing.assert_array_equal(u["b"], -PARAMS["b"])


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 2, 3), (1, 1, 3), (2, 6)], ids=str)
def test_a_shape_that_does_not_broadcast_is_refused_by_leaf(shape):
    message = rf"leaf 'w' has shape \({shape[0]}.* broadcast to the leaf's \(2, 3\)"
    for rule in (
        {"w": np.ones(shape), "b": 1.0},
        where.by_path({"w": np.ones(shape), "b": 1.0}),
        {"w": jnp.ones(shape), "b": 1.0},
    ):
        with pytest.raises(ValueError, match=message):
            wdjax.decay_weights(0.1, where=rule).init(PARAMS)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.array([1.0, -2.0, 1.0]), "has an entry -2; it must be finite"),
        (jnp.array([1.0, 1.0, jnp.nan]), "has an entry nan"),
        (np.array([1.0, np.inf, 1.0]), "has an entry inf"),
        (np.array([1.0, 1.0, 1j]), "must be a bool, a number ≥ 0 or an array"),
    ],
    ids=["negative", "nan", "inf", "complex"],
)
def test_a_bad_entry_is_refused_by_leaf(bad, words):
    with pytest.raises(ValueError, match=f"multiplier of leaf 'w' .*{words}"):
        wdjax.decay_weights(0.1, where={"w": bad, "b": 1.0}).init(PARAMS)
    with pytest.raises(ValueError, match=f"by_path: the multiplier of 'w' .*{words}"):
        where.by_path({"w": bad}, default=0.0)


def test_an_array_of_zeros_is_a_leaf_left_alone():
    params = {"w": jnp.array([[jnp.inf, jnp.nan]]), "b": jnp.ones(1)}
    decay = wdjax.decay_weights(0.5, where={"w": np.zeros((1, 2)), "b": 1.0})
    u, _ = decay.update(
        jax.tree.map(jnp.zeros_like, params), decay.init(params), params
    )
    np.testing.assert_array_equal(u["w"], [[0.0, 0.0]])


@pytest.mark.parametrize(
    "rule",
    [
        {"0": jnp.zeros(2), "1": 1.0},
        where.by_path({"0": jnp.zeros(2)}, default=1.0),
        where.layer_wise(r"(\d)", jnp.array(0.0)),
    ],
    ids=["tree", "by_path", "layer_wise"],
)
def test_zeros_of_jax_leave_their_leaf_alone_inside_jit_too(rule):
    params = {"0": jnp.array([[jnp.inf, jnp.nan]]), "1": jnp.ones(1)}
    decay = wdjax.decay_weights(0.5, where=rule)
    zeros = jax.tree.map(jnp.zeros_like, params)
    u, _ = jax.jit(decay.update)(zeros, decay.init(params), params)
    np.testing.assert_array_equal(u["0"], [[0.0, 0.0]])
    np.testing.assert_array_equal(u["1"], [-0.5])


def test_traced_arrays_may_be_swept_and_differentiated():
    def pulled(m):
        decay = wdjax.decay_weights(0.5, where={"w": m, "b": 0.0})
        return decay.update(ZEROS, decay.init(PARAMS), PARAMS)[0]["w"]

    members = jnp.asarray(RNG.uniform(size=(4, 1, 3)))
    u = jax.jit(jax.vmap(pulled))(members)
    by_hand = -0.5 * np.asarray(members) * np.asarray(PARAMS["w"])[None]
    np.testing.assert_allclose(u, by_hand, rtol=1e-15)
    slope = jax.grad(lambda m: pulled(m).sum())(jnp.ones(3))
    np.testing.assert_allclose(slope, -0.5 * PARAMS["w"].sum(0), rtol=1e-14)
    with pytest.raises(ValueError, match=r"leaf 'w' has shape \(4,\)"):
        jax.jit(pulled)(jnp.ones(4))  # shapes are known, values are not


def test_the_complement_of_an_array_is_entry_by_entry_traced_or_not():
    m = np.array([0.0, 0.5, 0.0])
    np.testing.assert_array_equal(where.complement({"w": m})["w"], [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(jax.jit(where.complement)(m), [1.0, 0.0, 1.0])


def test_describe_prints_arrays_briefly_and_traced_ones_as_such():
    m = np.linspace(0.5, 1.0, 12).reshape(12, 1, 1)
    params = {"rest": jnp.ones(3), "stack": jnp.ones((12, 2, 3))}
    table = where.describe(where.by_path({"stack": m}, default=0.5), params)
    assert table.splitlines() == [
        "leaf   shape       multiplier            rule",
        "rest   (3,)        0.5                   default",
        "stack  (12, 2, 3)  [0.5 … 1] (12, 1, 1)  matches 'stack'",
    ]
    seen = []

    @jax.jit
    def trace(x, y):
        seen.append(where.describe({"stack": x, "rest": y}, params))
        return x

    trace(m, 1.0)
    assert seen[0].splitlines() == [
        "leaf   shape       multiplier         rule",
        "rest   (3,)        traced             tree",
        "stack  (12, 2, 3)  traced (12, 1, 1)  tree",
    ]


WRAPPED = {
    "tree": SCALES,
    "by_path": where.by_path(SCALES),
    "complement": where.complement(where.by_path({"w": 0.0, "b": 1.0})),
}


@pytest.mark.parametrize("rule", WRAPPED.values(), ids=WRAPPED)
def test_array_multipliers_survive_the_wrappers(rule):
    decay = wdjax.decay_weights(0.1, where=rule)
    expected, _ = decay.update(ZEROS, decay.init(PARAMS), PARAMS)
    injected = optax.inject_hyperparams(wdjax.decay_weights)(0.1, where=rule)
    assert "where" not in injected.init(PARAMS).hyperparams
    for wrapped in (
        injected,
        optax.partition({"a": decay, "b": decay}, {"w": "a", "b": "b"}),
        optax.masked(decay, {"w": True, "b": True}),
        optax.MultiSteps(decay, 1),
        optax.chain(optax.identity(), decay),
    ):
        u, _ = wrapped.update(ZEROS, wrapped.init(PARAMS), PARAMS)
        # `inject_hyperparams` makes the rate an array.
        for k, leaf in u.items():
            np.testing.assert_allclose(leaf, expected[k], rtol=1e-15)


def test_a_complement_holds_floats_for_numbers_and_arrays_of_them_for_arrays():
    tree = where.complement({"w": np.array([True, False, True]), "b": False})
    assert tree["w"].dtype == np.float64
    assert type(tree["b"]) is float


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        (
            where.by_path({"w": jnp.array([0.5, 0.25, 1.0])}, default=0.0),
            "0.25 … 1] (1",
        ),
        (where.layer_wise_stacked("w", jnp.array(0.5)), "0.5 … 1] (2, 1)"),
    ],
    ids=["by_path", "layer_wise_stacked"],
)
def test_describe_prints_an_array_that_is_known_also_while_tracing(rule, row):
    tables = []
    jax.jit(lambda params: tables.append(where.describe(rule, params)))(PARAMS)
    assert f"w     (2, 3)  [{row}" in tables[0]


def test_describe_prints_arrays_of_bools_and_without_entries_as_numbers():
    params = {"none": jnp.ones((0, 3)), "some": jnp.ones(2)}
    tree = {"none": np.ones((0, 1)), "some": np.array([True, False])}
    assert where.describe(tree, params).splitlines() == [
        "leaf  shape   multiplier    rule",
        "none  (0, 3)  [] (0, 1)     tree",
        "some  (2,)    [0 … 1] (2,)  tree",
    ]
