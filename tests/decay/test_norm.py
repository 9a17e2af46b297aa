"""Norm control: constrained, held and rotated, against loops in NumPy."""

from inspect import unwrap

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import bound, layers, ledger, norm, target

STEPS = 40
RNG = np.random.default_rng(0)
PARAMS = {
    "w": RNG.normal(size=(3, 4)),
    "v": 0.1 * RNG.normal(size=(5, 2)),
    "b": RNG.normal(size=(4,)),
}
PARAMS = jax.tree.map(jnp.asarray, PARAMS)
# Growth that slows: outwards at first, and less and less so.
KICKS = jax.tree.map(
    lambda p: (
        0.3 * jnp.exp(-0.1 * jnp.arange(STEPS)).reshape(-1, *[1] * p.ndim) * p[None]
        + 0.02 * RNG.normal(size=(STEPS, *p.shape))
    ),
    PARAMS,
)
CONTROLS = {
    "fixed": lambda **kw: norm.constrain_norm(bound.fixed(0.5), **kw),
    "inflection": lambda **kw: norm.constrain_norm(bound.inflection(2), **kw),
    "hold": lambda stacked=None, **kw: norm.hold_norm(
        target.initial_norm(stacked=stacked), **kw
    ),
    "rotate_weights": lambda stacked=None, **kw: wdjax.rotate_weights(
        0.1, target=target.initial_norm(stacked=stacked), **kw
    ),
}
CONTROLS["hyperball"] = lambda stacked=None, **kw: wdjax.hyperball(
    0.1, target=target.initial_norm(stacked=stacked), **kw
)
controls = pytest.mark.parametrize("make", CONTROLS.values(), ids=CONTROLS)
# As a sweep gives them: arrays of float64, beside narrower weights.
ONE = jnp.ones(())
WIDE = {
    "from_start": norm.constrain_norm(
        bound.from_start(1.5 * ONE), multiplier_rate=0.1 * ONE
    ),
    "warm_start": norm.constrain_norm(bound.warm_start(2 * ONE)),
    "hold_norm": norm.hold_norm(target.initial_norm(2.0 * ONE)),
    "rotate_weights": wdjax.rotate_weights(
        0.1 * ONE, smoothing=0.9 * ONE, target=target.norm(2.0 * ONE)
    ),
    "hyperball": wdjax.hyperball(0.1 * ONE),
}


def path(optimizer, params=PARAMS, kicks=KICKS):
    """The parameters after each step, and the last state."""

    def step(carry, kick):
        params, state = carry
        updates, state = optimizer.update(kick, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = (params, optimizer.init(params))
    (_, state), walked = jax.jit(lambda c: jax.lax.scan(step, c, kicks))(start)
    return walked, state


def lengths(x):
    return np.sqrt(np.square(np.asarray(x, float)).reshape(len(x), -1).sum(1))


@pytest.mark.parametrize("aim", [target.initial_norm(), target.norm(2.0)])
def test_a_held_norm_is_held_to_rounding(aim):
    walked, _ = path(norm.hold_norm(aim))
    for leaf in ("w", "v"):
        radius = 2.0 if aim == target.norm(2.0) else np.linalg.norm(PARAMS[leaf])
        np.testing.assert_allclose(lengths(walked[leaf]), radius, rtol=1e-15 * 4)
        theta = np.asarray(PARAMS[leaf])
        for t, kick in enumerate(np.asarray(KICKS[leaf])):
            theta = theta + kick
            theta = radius * theta / np.linalg.norm(theta)
            np.testing.assert_allclose(walked[leaf][t], theta, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(walked["b"], path(optax.identity())[0]["b"])


def rotated(theta, kicks, eta, beta):
    """The rotational wrapper: project, bring to the typical length, step, rescale."""
    radius, mean, walked = np.linalg.norm(theta), 0.0, []
    for t, kick in enumerate(kicks, start=1):
        update = kick - theta * (kick * theta).sum() / radius**2
        mean = beta * mean + (1 - beta) * (update**2).sum()
        typical = np.sqrt(mean / (1 - beta**t))
        theta = theta + eta * radius * update / typical
        theta = theta * radius / np.linalg.norm(theta)
        walked.append(theta)
    return np.stack(walked)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_rotation_is_that_of_the_rotational_wrapper(beta):
    walked, _ = path(wdjax.rotate_weights(0.1, smoothing=beta))
    for leaf in ("w", "v"):
        theta, kicks = np.asarray(PARAMS[leaf]), np.asarray(KICKS[leaf])
        expected = rotated(theta, kicks, 0.1, beta)
        np.testing.assert_allclose(walked[leaf], expected, rtol=1e-11, atol=1e-13)


def test_without_smoothing_every_step_turns_by_the_same_angle():
    """The tangent of the angle is η, whatever the length of the update."""
    eta = 0.3
    growing = {"w": KICKS["w"] * 10.0 ** jnp.arange(STEPS)[:, None, None]}
    theta = {"w": PARAMS["w"]}
    walked, _ = path(wdjax.rotate_weights(eta, smoothing=0.0), theta, growing)
    radii = np.concatenate([PARAMS["w"][None], walked["w"]])
    inner = (radii[1:] * radii[:-1]).sum((1, 2)) / (lengths(radii[1:]) ** 2)
    np.testing.assert_allclose(np.arccos(inner), np.arctan(eta), rtol=1e-10)


def test_rotation_ignores_the_radial_part_and_the_scale_of_updates():
    plain, _ = path(wdjax.rotate_weights(0.1))
    longer = jax.tree.map(lambda k: 1000.0 * k, KICKS)
    scaled, _ = path(wdjax.rotate_weights(0.1), kicks=longer)
    np.testing.assert_allclose(scaled["w"], plain["w"], rtol=1e-10, atol=1e-12)
    radial = jax.tree.map(lambda p: 0.5 * p, PARAMS)
    one = wdjax.rotate_weights(0.1)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    for kick in (zeros, {"w": zeros["w"], "v": zeros["v"], "b": radial["b"]}):
        updates, _ = one.update(kick, one.init(PARAMS), PARAMS)
        np.testing.assert_allclose(updates["w"], zeros["w"], atol=1e-15)


def test_a_layer_of_zeros_cannot_turn():
    theta = {"w": jnp.zeros((2, 2))}
    for turn in (wdjax.rotate_weights(0.1), wdjax.hyperball(0.1)):
        walked, _ = path(turn, theta, {"w": jnp.ones((3, 2, 2))})
        np.testing.assert_array_equal(walked["w"], np.zeros((3, 2, 2)))


def test_hyperball_fixes_the_norms_of_weights_and_steps():
    """A loop in NumPy; the length of an update has no say."""
    etas = np.linspace(0.3, 0.0, STEPS)
    walked, _ = path(wdjax.hyperball(lambda t: jnp.asarray(etas)[t]))
    longer = jax.tree.map(lambda k: 1000.0 * k, KICKS)
    scaled, _ = path(wdjax.hyperball(lambda t: jnp.asarray(etas)[t]), kicks=longer)
    for leaf in ("w", "v"):
        theta = np.asarray(PARAMS[leaf])
        radius = np.linalg.norm(theta)
        for t, kick in enumerate(np.asarray(KICKS[leaf])):
            theta = theta + etas[t] * radius * kick / np.linalg.norm(kick)
            theta = radius * theta / np.linalg.norm(theta)
            np.testing.assert_allclose(walked[leaf][t], theta, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(scaled[leaf], walked[leaf], rtol=1e-10, atol=1e-12)
    still = optax.tree.zeros_like(PARAMS)
    one = wdjax.hyperball(0.1)
    updates, _ = one.update(still, one.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["w"], still["w"], atol=1e-15)


@controls
def test_each_layer_of_a_stack_is_controlled_alone(make):
    """As if the layers were leaves of their own."""
    layers = {f"l{i}": PARAMS["w"][i : i + 1] * (i + 1) for i in range(3)}
    kicks = {f"l{i}": KICKS["w"][:, i : i + 1] for i in range(3)}
    stack = {"w": jnp.stack(list(layers.values()))}
    stacked_kicks = {"w": jnp.stack(list(kicks.values()), axis=1)}
    together, _ = path(make(stacked={"w": 1}), stack, stacked_kicks)
    alone, _ = path(make(), layers, kicks)
    for i in range(3):
        np.testing.assert_allclose(
            together["w"][:, i], alone[f"l{i}"], rtol=1e-11, atol=1e-13
        )


@controls
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)
def test_narrow_weights_keep_their_dtype_and_wide_memories(make, dtype):
    """One step from the same rounded numbers in float64, rounded at the end."""
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    kicks = jax.tree.map(lambda k: k[0].astype(dtype), KICKS)
    optimizer = make()
    state = optimizer.init(params)
    updates, new = optimizer.update(kicks, state, params)
    chex.assert_trees_all_equal_dtypes(updates, params)
    chex.assert_trees_all_equal_dtypes(new, state)
    assert all(
        x.dtype == jnp.float32 for x in jax.tree.leaves(new) if x.dtype != jnp.int32
    )
    wide, kicks = (jax.tree.map(lambda x: x.astype(float), t) for t in (params, kicks))
    exact, _ = optimizer.update(kicks, optimizer.init(wide), wide)
    got = jax.tree.map(lambda u: u.astype(float), updates)
    eps = float(jnp.finfo(dtype).eps)
    # `rotate_weights` rounds the turned update once more, between its two links: two
    # halves of an ulp of numbers up to 0.5.
    chex.assert_trees_all_close(got, exact, rtol=eps, atol=eps / 2)


@pytest.mark.parametrize("kind", [jnp.bfloat16, float], ids=["narrow", "wide"])
@pytest.mark.parametrize("optimizer", WIDE.values(), ids=WIDE)
def test_no_setting_and_no_update_widens_what_a_loop_carries(optimizer, kind):
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    kicks = jax.tree.map(lambda k: k[:4].astype(kind), KICKS)
    walked, state = path(optimizer, params, kicks)  # a scan refuses another dtype
    chex.assert_trees_all_equal_dtypes(walked, params)
    memories = [x for x in jax.tree.leaves(state) if x.ndim]
    assert memories
    assert all(x.dtype == jnp.float32 for x in memories)


def test_a_norm_held_in_bfloat16_does_not_drift():
    params = {"w": PARAMS["w"].astype(jnp.bfloat16)}
    kicks = {"w": KICKS["w"].astype(jnp.bfloat16)}
    walked, _ = path(norm.hold_norm(), params, kicks)
    # Half an ulp of update and sum in every entry, whatever the number of steps.
    radius = np.linalg.norm(np.asarray(params["w"], float))
    np.testing.assert_allclose(lengths(walked["w"]), radius, rtol=2**-8)


@controls
def test_member_i_of_a_vmapped_run_is_run_i(make):
    scales = jnp.array([0.5, 1.0, 4.0])

    def run(scale):
        kicks = jax.tree.map(lambda k: scale * k[:12], KICKS)
        return path(make(), PARAMS, kicks)[0]

    together = jax.vmap(run)(scales)
    for i, scale in enumerate(scales):
        member = jax.tree.map(lambda x, i=i: x[i], together)
        chex.assert_trees_all_close(member, run(scale), rtol=1e-11, atol=1e-13)


@controls
@pytest.mark.parametrize("wrap", ["partition", "masked"])
def test_hidden_leaves_are_skipped(make, wrap):
    if wrap == "partition":
        groups = {"yes": make(), "no": optax.set_to_zero()}
        wrapped = optax.partition(groups, {"w": "yes", "v": "no", "b": "no"})
    else:
        wrapped = optax.masked(make(), {"w": True, "v": False, "b": False})
    theta = path(wrapped)[0]["w"]
    alone = path(make(), {"w": PARAMS["w"]}, {"w": KICKS["w"]})[0]["w"]
    np.testing.assert_allclose(theta, alone, rtol=1e-12)


@controls
def test_state_survives_donation_maps_and_missing_updates(make):
    optimizer = make()
    params = jax.tree.map(jnp.array, PARAMS)
    state = optimizer.init(params)
    mapped = optax.tree.map_params(optimizer, jnp.ones_like, state)
    chex.assert_trees_all_equal_structs(mapped, state)

    def step(params, state, kick):
        updates, state = optimizer.update(kick, state, params)
        return optax.apply_updates(params, updates), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    for t in range(3):
        kick = jax.tree.map(lambda k, t=t: k[t], KICKS)
        params, state = donating(params, state, kick)
    expected = jax.tree.map(lambda x: x[2], path(optimizer)[0])
    chex.assert_trees_all_close(params, expected, rtol=1e-12)
    frozen, _ = optimizer.update({**kick, "w": None}, state, params)
    assert frozen["w"] is None


@pytest.mark.parametrize("make", [wdjax.rotate_weights, wdjax.hyperball])
def test_what_is_not_turned_is_not_held_either(make):
    """Against the default, which takes both matrices and no bias."""
    walked, _ = path(make(0.1, where={"w": 0, "v": 1, "b": 1}))
    np.testing.assert_array_equal(walked["w"], path(optax.identity())[0]["w"])
    for leaf in ("v", "b"):
        radius = np.linalg.norm(PARAMS[leaf])
        np.testing.assert_allclose(lengths(walked[leaf]), radius, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("constrain_norm", norm.constrain_norm(bound.fixed(1.0))),
        ("hold_norm", norm.hold_norm()),
    ],
)
def test_a_control_notes_its_name_and_leaves_and_is_no_match_for_l2(name, optimizer):
    with ledger.collect() as entries:
        optimizer.init(PARAMS)
    assert entries == [ledger.Entry(name, {"v": 1.0, "w": 1.0})]
    both = wdjax.with_l2(optax.chain(optax.sgd(0.1), optimizer), 0.1)
    with pytest.warns(wdjax.DecayWarning, match=r"both act on v, w\."):
        both.init(PARAMS)


@controls
def test_only_controlled_leaves_are_remembered(make):
    """Biases, which start at zero, are no matrices: nothing is held or stored."""
    state = make().init(PARAMS)
    per_leaf = [x for x in jax.tree.leaves(state) if x.ndim]
    assert per_leaf
    assert all(x.size == 1 for x in per_leaf)
    assert not any(x.ndim == 1 for x in per_leaf)  # the bias's rank


NAMES = ["constrain_norm"] * 2 + ["hold_norm", "rotate_weights", "hyperball"]


@pytest.mark.parametrize(
    ("make", "name"), list(zip(CONTROLS.values(), NAMES, strict=True)), ids=CONTROLS
)
def test_missing_params_are_asked_for_by_name(make, name):
    optimizer = make()
    with pytest.raises(ValueError, match=f"^{name} needs the parameters: call"):
        optimizer.update(PARAMS, optimizer.init(PARAMS))


REFUSED = {
    "bound.fixed: kappa is 0": lambda: bound.fixed(0.0),
    "bound.fixed: kappa is -1": lambda: bound.fixed(-1.0),
    "bound.from_start: factor is 0": lambda: bound.from_start(0.0),
    "bound.warm_start: steps is 0": lambda: bound.warm_start(0),
    "bound.warm_start: steps is 2.5; it must be a whole": lambda: bound.warm_start(2.5),
    "bound.inflection: interval is 0": lambda: bound.inflection(0),
    "multiplier_rate is -1": lambda: norm.constrain_norm(
        bound.fixed(1.0), multiplier_rate=-1.0
    ),
    "rotate_weights: rotation is -0.1": lambda: wdjax.rotate_weights(-0.1),
    "rotate_weights: smoothing is 1; it must be .*below 1": lambda: (
        wdjax.rotate_weights(0.1, smoothing=1.0)
    ),
    "hyperball: rotation is -0.1": lambda: wdjax.hyperball(-0.1),
    "the multiplier 0.5 is neither 0 nor 1": lambda: wdjax.rotate_weights(
        0.1, where={"w": 0.5, "v": 1, "b": 0}
    ).init(PARAMS),
    "is neither 0 nor 1; a norm is": lambda: norm.constrain_norm(
        bound.fixed(1.0), where={"w": np.ones((3, 4)), "v": 1, "b": 0}
    ).init(PARAMS),
    "pattern 'x' matches no leaf": lambda: norm.constrain_norm(
        bound.fixed(1.0), stacked={"x": 1}
    ).init(PARAMS),
}


@pytest.mark.parametrize(("sentence", "make"), REFUSED.items(), ids=REFUSED)
def test_senseless_settings_are_refused(sentence, make):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_choices_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"give one of wdjax\.bound"):
        unwrap(norm.constrain_norm)(1.0)
    for make in (
        norm.hold_norm,
        lambda target: unwrap(wdjax.rotate_weights)(0.1, target=target),
    ):
        with pytest.raises(ValueError, match="give a sphere"):
            unwrap(make)(target=wdjax.target.origin)


def test_a_class_is_no_bound_and_a_sphere_is_asked_for_by_name():
    with pytest.raises(ValueError, match="bound is <class"):
        unwrap(norm.constrain_norm)(bound.Fixed)
    with pytest.raises(ValueError, match=r"^hold_norm: target is Origin"):
        unwrap(norm.hold_norm)(wdjax.target.origin)
    for make in (wdjax.rotate_weights, wdjax.hyperball):
        with pytest.raises(ValueError, match=f"^{make.__name__}: target is Origin"):
            unwrap(make)(0.1, target=wdjax.target.origin)


def test_complex_weights_turn_like_their_real_and_imaginary_parts():
    """The inner product of two complex layers is that of their parts."""
    theta = np.array([[1.0 + 2.0j, -0.5j], [0.3, -1.0 + 1.0j]])
    kick = np.array([[0.1j, 0.2], [-0.3 + 0.1j, 0.4]])
    parts = {"w": np.stack([theta.real, theta.imag]).reshape(4, 2)}
    kicks = {"w": np.stack([kick.real, kick.imag]).reshape(1, 4, 2)}
    expected, _ = path(
        wdjax.rotate_weights(0.3),
        jax.tree.map(jnp.asarray, parts),
        jax.tree.map(jnp.asarray, kicks),
    )
    walked, _ = path(
        wdjax.rotate_weights(0.3),
        {"w": jnp.asarray(theta)},
        {"w": jnp.asarray(kick)[None]},
    )
    real, imaginary = np.asarray(expected["w"][0]).reshape(2, 2, 2)
    np.testing.assert_allclose(walked["w"][0], real + 1j * imaginary, rtol=1e-13)


def test_a_single_weight_is_a_layer_of_one():
    """λ = c(p² − κ), θ = (1 − 2λ)p by hand, also for a matrix of one entry."""
    theta, kick = {"w": jnp.array([[2.0]])}, {"w": jnp.array([[0.5]])}
    constrain = norm.constrain_norm(bound.fixed(6.0), multiplier_rate=0.5)
    updates, _ = constrain.update(kick, constrain.init(theta), theta)
    multiplier = 0.5 * (2.5**2 - 6.0)
    expected = (1 - 2 * multiplier) * 2.5 - 2.0
    np.testing.assert_allclose(updates["w"], [[expected]], rtol=1e-15)


def test_a_weight_may_be_a_python_number():
    """θ − δ(1 − R/‖θ‖)θ with R half of the start's norm."""
    decay = wdjax.decay_weights(0.5, target=target.initial_norm(0.5))
    updates, _ = decay.update({"w": jnp.zeros(())}, decay.init({"w": 3.0}), {"w": 3.0})
    np.testing.assert_allclose(updates["w"], -0.75, rtol=1e-15)


@controls
def test_a_tree_without_leaves_is_controlled_trivially(make):
    optimizer = make()
    state = optimizer.init({})
    updates, new = optimizer.update({}, state, {})
    assert updates == {}
    chex.assert_trees_all_equal_structs(new, state)


def test_a_multiplier_must_be_known_and_is_looked_at_also_under_jit():
    one, kernel = jnp.array(1.0), {"w": PARAMS["w"]}

    def init(multiplier):
        return norm.constrain_norm(bound.fixed(1.0), where={"w": multiplier}).init

    known = jax.jit(lambda: init(one)(kernel))()
    chex.assert_trees_all_equal(known, init(1.0)(kernel))
    with pytest.raises(ValueError, match="is neither 0 nor 1"):
        jax.jit(lambda multiplier: init(multiplier)(kernel))(one)


def test_the_division_by_nothing_is_nothing_under_autodiff_too():
    a, b = jnp.array([1.0, 2.0, 0.0]), jnp.array([2.0, 0.0, 0.0])
    np.testing.assert_array_equal(layers.over(a, b), [0.5, 0.0, 0.0])
    slopes = jax.grad(lambda a, b: layers.over(a, b).sum(), argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(slopes[0], [0.5, 0.0, 0.0])  # 1/b
    np.testing.assert_array_equal(slopes[1], [-0.25, 0.0, 0.0])  # −a/b²
    np.testing.assert_array_equal(layers.root(jnp.array([4.0, 0.0])), [2.0, 0.0])
    steep = jax.vmap(jax.grad(layers.root))(jnp.array([4.0, 0.0]))
    np.testing.assert_array_equal(steep, [0.25, 0.0])  # 1/(2√x)


def test_a_step_below_the_weights_precision_still_counts():
    """In bfloat16 1 + 2⁻⁹ is 1; the constraint sees the sum before it is rounded."""
    theta = {"w": jnp.ones((1, 1), jnp.bfloat16)}
    kick = {"w": jnp.full((1, 1), 2.0**-9, jnp.bfloat16)}
    constrain = norm.constrain_norm(bound.fixed(0.5), multiplier_rate=0.5)
    updates, _ = constrain.update(kick, constrain.init(theta), theta)
    p = 1 + 2.0**-9
    expected = 2.0**-9 - 2 * 0.5 * (p**2 - 0.5) * p
    assert updates["w"] == jnp.bfloat16(expected)
    assert jnp.bfloat16(expected) != jnp.bfloat16(2.0**-9 - 0.5)
