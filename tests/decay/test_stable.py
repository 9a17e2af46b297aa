"""Stable and corrected decay, against the papers' updates written out in NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax

ALPHA, LAM, B1, B2, EPS, STEPS = 0.02, 0.3, 0.8, 0.95, 1e-6, 15
ADAM = {"b1": B1, "b2": B2, "eps": EPS}
# Tensors of different sizes: a mean of means would weigh them alike.
PARAMS = {
    "w": np.array([[1.0, -2.0, 0.3], [0.5, 3.0, -0.1]]),
    "b": np.array([4.0]),
    "c": np.linspace(-1.0, 1.0, 11),
}
PARAMS_J = jax.tree.map(jnp.asarray, PARAMS)
ONLY_W = wdjax.where.by_path({"w": 1.0}, default=0.0)
ETA = 0.5 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))


def schedule(t):
    return ALPHA * jnp.asarray(ETA)[t]


def gradient(params, t):
    """The same formula for NumPy and JAX; leaves of very different size."""

    def of(name, p):
        module = np if isinstance(p, np.ndarray) else jnp
        return {"w": 1.0, "b": 10.0, "c": 0.1}[name] * module.sin(3.0 * p + t)

    return {name: of(name, p) for name, p in params.items()}


def run(optimizer, params=PARAMS, steps=STEPS, gradient=gradient):
    def step(carry, t):
        params, state = carry
        updates, state = optimizer.update(gradient(params, t), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jax.tree.map(jnp.asarray, params)
    start = (params, optimizer.init(params))
    return jax.lax.scan(step, start, jnp.arange(steps))[1]


def still(params, t):
    return jax.tree.map(jnp.zeros_like, params)


def adams_by_hand(alpha, lam):
    """AdamS with an explicit v for every parameter, and no ε in the decay."""
    theta = {name: p.copy() for name, p in PARAMS.items()}
    m = {name: np.zeros_like(p) for name, p in PARAMS.items()}
    v = {name: np.zeros_like(p) for name, p in PARAMS.items()}
    path = []
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = {n: B1 * m[n] + (1 - B1) * g[n] for n in m}
        v = {n: B2 * v[n] + (1 - B2) * g[n] ** 2 for n in v}
        m_hat = {n: m[n] / (1 - B1**t) for n in m}
        v_hat = {n: v[n] / (1 - B2**t) for n in v}
        mean = np.concatenate([x.ravel() for x in v_hat.values()]).mean()
        a = alpha[t - 1]
        theta = {
            n: (1 - lam.get(n, 0.0) * a / np.sqrt(mean)) * theta[n]
            - a * m_hat[n] / (np.sqrt(v_hat[n]) + EPS)
            for n in theta
        }
        path.append(theta)
    return {n: np.array([theta[n] for theta in path]) for n in PARAMS}


@pytest.mark.parametrize("where", [None, ONLY_W], ids=["all", "only w"])
def test_adams_is_the_paper_with_an_explicit_v(where):
    lam = dict.fromkeys(PARAMS if where is None else ["w"], LAM)
    ours = run(wdjax.adams(schedule, LAM, where=where, **ADAM))
    by_hand = adams_by_hand(ALPHA * ETA, lam)
    # Fifteen steps in float64, in another order of operations; the one scalar is a
    # mean of 18 squares, so linear in them up to rounding.
    chex.assert_trees_all_close(ours, by_hand, rtol=1e-12, atol=1e-13)


def test_the_decay_is_none_of_adams_own():
    """λα_t without the norm is far away: the test above can fail."""
    adamw = run(wdjax.adamw(schedule, LAM, **ADAM))
    ours = run(wdjax.adams(schedule, LAM, **ADAM))
    assert np.abs(adamw["b"][-1] - ours["b"][-1]).max() > 0.01


def test_a_gradient_of_constant_size_c_divides_the_rate_by_c():
    """Closed form at ±c: v̂ = c² from the first step on, whatever β₂."""
    for c in (0.5, 4.0):
        optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), 0.02, b2=0.9)
        path = run(
            optimizer,
            {"w": np.array([2.0, -3.0])},
            gradient=lambda p, t, c=c: {"w": c * jnp.array([1.0, -1.0])},
        )
        left = (1 - 0.02 / c) ** np.arange(1, STEPS + 1)
        np.testing.assert_allclose(path["w"][:, 0], 2.0 * left, rtol=1e-13)


def test_the_rate_follows_its_schedule_from_step_0():
    optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), schedule)
    path = run(optimizer, {"w": np.ones(3)}, gradient=lambda p, t: {"w": jnp.ones(3)})
    np.testing.assert_allclose(path["w"][:, 0], np.cumprod(1 - ALPHA * ETA), rtol=1e-13)


def test_no_gradient_at_all_is_no_decay_and_no_nan():
    path = run(wdjax.adams(ALPHA, LAM), gradient=still)
    last = jax.tree.map(lambda x: x[-1], path)
    chex.assert_trees_all_equal(last, jax.tree.map(jnp.asarray, PARAMS))


def test_a_vanishing_gradient_removes_at_most_the_whole_weight():
    """λα/√v̂ would be 10⁴: the sign would flip, step by step, to infinity."""

    def tiny(params, t):
        return jax.tree.map(lambda p: jnp.full_like(p, 1e-8), params)

    decay = wdjax.with_stable_weight_decay(optax.set_to_zero(), 1e-4)
    path = run(decay, gradient=tiny)
    chex.assert_trees_all_equal(path, jax.tree.map(jnp.zeros_like, path))


def test_frozen_leaves_do_not_count_in_the_mean():
    optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), 0.02)
    updates = {"w": jnp.full((2, 3), 2.0), "b": None, "c": None}
    u, _ = optimizer.update(updates, optimizer.init(PARAMS_J), PARAMS_J)
    np.testing.assert_allclose(u["w"], -0.01 * PARAMS["w"], rtol=1e-14)
    assert u["b"] is None


def test_complex_gradients_count_by_their_modulus():
    optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), 0.02)
    z = jnp.array([1.0 + 1.0j])
    u, _ = optimizer.update(jnp.array([3.0 + 4.0j]), optimizer.init(z), z)
    np.testing.assert_allclose(u, -0.02 / 5 * z, rtol=1e-14)


def test_float16_gradients_do_not_overflow_in_the_mean():
    """300² is beyond float16; the squares are summed in float32."""
    optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), 3.0)
    theta = jnp.ones(4, jnp.float16)
    state = optimizer.init(theta)
    u, new = optimizer.update(jnp.full(4, 300.0, jnp.float16), state, theta)
    assert u.dtype == jnp.float16
    np.testing.assert_allclose(u, -0.01, rtol=1e-3)  # float16
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


SGD = {"momentum": 0.9, "dampening": 0.2}


def sgds_by_hand(alpha, mu, d, nesterov):
    theta = {name: p.copy() for name, p in PARAMS.items()}
    m = {name: np.zeros_like(p) for name, p in PARAMS.items()}
    for t in range(STEPS):
        g = gradient(theta, t)
        m = {n: mu * m[n] + (1 - d) * g[n] for n in m}
        step = {n: mu * m[n] + (1 - d) * g[n] for n in m} if nesterov else m
        delta = LAM * alpha[t] * (1 - d) / (1 - mu)
        theta = {n: (1 - delta) * theta[n] - alpha[t] * step[n] for n in theta}
    return theta


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgds_is_its_formula_by_hand(nesterov):
    ours = run(wdjax.sgds(schedule, LAM, nesterov=nesterov, **SGD))
    by_hand = sgds_by_hand(ALPHA * ETA, 0.9, 0.2, nesterov)
    last = jax.tree.map(lambda x: x[-1], ours)
    chex.assert_trees_all_close(last, by_hand, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgds_rests_where_l2_rests(momentum):
    """Ridge on ½h(θ − θ*)²: θ = hθ*/(h + λ), whatever the momentum."""
    h, best = 2.0, 3.0

    def pull(params, t):
        return {"w": h * (params["w"] - best)}

    last = {
        make.__name__: run(
            make(0.1, 0.5, momentum=momentum), {"w": np.ones(1)}, 400, pull
        )["w"][-1, 0]
        for make in (wdjax.sgds, wdjax.sgd_l2, wdjax.sgdw)
    }
    ridge = h * best / (h + 0.5)
    assert last["sgds"] == pytest.approx(ridge, rel=1e-8)  # 0.95⁴⁰⁰ of the start
    assert last["sgd_l2"] == pytest.approx(ridge, rel=1e-8)
    if momentum:
        assert abs(last["sgdw"] - ridge) > 0.1  # SGDW's own λ means (1 − μ)λ there


def test_without_momentum_sgds_is_sgdw():
    wdjax.testing.assert_equivalent(wdjax.sgds(0.1, 0.2), wdjax.sgdw(0.1, 0.2))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("dampening", [0.0, 0.2])
def test_sgds_without_a_buffer_has_a_momentum_of_zero(dampening):
    bare = wdjax.sgds(0.1, 0.2, momentum=None, dampening=dampening)
    wdjax.testing.assert_equivalent(bare, wdjax.sgds(0.1, 0.2, dampening=dampening))


def corrected(base, lam=LAM, normalised=ONLY_W, **kwargs):
    return wdjax.with_corrected_weight_decay(
        base,
        lam,
        schedule,
        normalised=normalised,
        peak_learning_rate=ALPHA,
        **kwargs,
    )


@pytest.mark.parametrize("normalised", [ONLY_W, {"w": 0.5, "b": 0.0, "c": False}])
def test_corrected_decay_is_for_normalised_layers_alone(normalised):
    """Closed form: Π(1 − λα_t²/α) on them, Π(1 − λα_t) on the others."""
    optimizer = corrected(optax.sgd(schedule), normalised=normalised)
    path = run(optimizer, gradient=still)
    last = {name: x[-1] for name, x in path.items()}
    squared = np.prod(1 - LAM * (ALPHA * ETA) ** 2 / ALPHA)
    usual = np.prod(1 - LAM * ALPHA * ETA)
    np.testing.assert_allclose(last["w"], squared * PARAMS["w"], rtol=1e-13)
    np.testing.assert_allclose(last["b"], usual * PARAMS["b"], rtol=1e-13)
    np.testing.assert_allclose(last["c"], usual * PARAMS["c"], rtol=1e-13)


def test_corrected_decay_keeps_to_where():
    path = run(corrected(optax.sgd(schedule), where={"w": 0.5, "b": 0, "c": 2.0}))
    bare = run(optax.sgd(schedule))
    np.testing.assert_array_equal(path["b"], bare["b"])
    path = run(
        corrected(optax.sgd(schedule), where={"w": 0.5, "b": 0, "c": 2.0}),
        gradient=still,
    )
    squared = np.prod(1 - 0.5 * LAM * (ALPHA * ETA) ** 2 / ALPHA)
    usual = np.prod(1 - 2.0 * LAM * ALPHA * ETA)
    np.testing.assert_allclose(path["w"][-1], squared * PARAMS["w"], rtol=1e-13)
    np.testing.assert_allclose(path["c"][-1], usual * PARAMS["c"], rtol=1e-13)


def test_at_a_constant_rate_nothing_is_corrected():
    optimizer = wdjax.with_corrected_weight_decay(
        optax.adam(0.01), 0.3, 0.01, normalised=wdjax.where.matrices
    )
    wdjax.testing.assert_equivalent(optimizer, wdjax.adamw(0.01, 0.3))


MAKERS = {
    "adams": lambda lam, where=None: wdjax.adams(schedule, lam, where=where),
    "sgds": lambda lam, where=None: wdjax.sgds(schedule, lam, where=where, **SGD),
    "corrected": lambda lam, where=None: corrected(optax.sgd(0.1), lam, where=where),
}
BARE = {
    "adams": optax.adam(schedule),
    "sgds": wdjax.sgds(schedule, 0.0, **SGD),
    "corrected": optax.sgd(0.1),
}
makers = pytest.mark.parametrize("name", MAKERS)


@makers
def test_lambda_zero_is_the_base_optimizer_bit_by_bit(name):
    """Operation by operation: compiled, θ + u may be fused in one of them only."""
    ours, base, params = MAKERS[name](0.0), BARE[name], PARAMS_J
    state, base_state = ours.init(params), base.init(params)
    for t in range(3):
        g = gradient(params, t)
        u, state = ours.update(g, state, params)
        expected, base_state = base.update(g, base_state, params)
        chex.assert_trees_all_equal(u, expected)
        params = optax.apply_updates(params, u)


@makers
def test_eager_and_compiled_agree(name):
    optimizer, params = MAKERS[name](LAM), PARAMS_J
    state = optimizer.init(params)
    for t in range(4):
        updates, new = optimizer.update(gradient(params, t), state, params)
        params = optax.apply_updates(params, updates)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
        state = new
    path = run(optimizer, steps=4)
    # The same operations; only fusion may differ.
    chex.assert_trees_all_close(params, jax.tree.map(lambda x: x[-1], path), rtol=1e-13)


@makers
def test_member_i_of_a_vmapped_grid_is_run_i(name):
    lams = jnp.array([0.0, 0.3, 1.0])
    grid = jax.jit(jax.vmap(lambda lam: run(MAKERS[name](lam), steps=3)))(lams)
    for i, lam in enumerate(lams):
        alone = run(MAKERS[name](float(lam)), steps=3)
        member = jax.tree.map(lambda x, i=i: x[i], grid)
        chex.assert_trees_all_close(member, alone, rtol=1e-12)  # fusion


@makers
def test_partition_hides_leaves_from_the_rule_and_the_mean(name):
    groups = {"on": MAKERS[name](LAM), "off": optax.identity()}
    parts = run(optax.partition(groups, {"w": "on", "b": "on", "c": "off"}), steps=3)
    alone = run(MAKERS[name](LAM), {n: PARAMS[n] for n in ("w", "b")}, 3)
    np.testing.assert_allclose(parts["w"], alone["w"], rtol=1e-13)
    np.testing.assert_allclose(parts["b"], alone["b"], rtol=1e-13)


@makers
def test_multi_steps_decays_once_per_applied_step(name):
    def steady(params, t):
        return gradient(PARAMS_J, 1.0)

    slowly = run(optax.MultiSteps(MAKERS[name](LAM), 2), steps=4, gradient=steady)
    quickly = run(MAKERS[name](LAM), steps=2, gradient=steady)
    last = jax.tree.map(lambda x: x[-1], (slowly, quickly))
    chex.assert_trees_all_close(*last, rtol=1e-6)  # it accumulates in float32


@makers
def test_map_params_reaches_the_moments(name):
    optimizer = MAKERS[name](LAM)
    state = optimizer.init(PARAMS_J)
    twos = optax.tree.map_params(optimizer, lambda x: jnp.full_like(x, 2.0), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(twos, state)
    changed = [x for x in jax.tree.leaves(twos) if x.ndim]
    assert len(changed) == {"adams": 6, "sgds": 3, "corrected": 0}[name]
    assert all((x == 2.0).all() for x in changed)


@makers
def test_missing_params_are_asked_for(name):
    optimizer = MAKERS[name](LAM)
    with pytest.raises(ValueError, match="needs the parameters: call"):
        optimizer.update(PARAMS_J, optimizer.init(PARAMS_J))


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        (
            "with_stable_weight_decay",
            wdjax.with_stable_weight_decay(optax.sgd(0.1), 0.1),
        ),
        ("with_corrected_weight_decay", corrected(optax.sgd(0.1))),
    ],
)
def test_missing_params_are_asked_for_in_the_name_of_the_wrapper(name, optimizer):
    with pytest.raises(ValueError, match=f"^{name} needs the parameters: call"):
        optimizer.update(PARAMS_J, optimizer.init(PARAMS_J))


def test_extra_arguments_may_arrive_whether_the_optimizer_takes_them_or_not():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS_J)

    def halve(updates, state, params=None, *, value):
        del updates, params
        return jax.tree.map(lambda z: z - value / 2, zeros), state

    takes = optax.GradientTransformationExtraArgs(optax.init_empty_state, halve)
    for optimizer, moved in ((takes, -4.0), (optax.set_to_zero(), 0.0)):
        stable = wdjax.with_stable_weight_decay(optimizer, 0.0)
        u, _ = stable.update(zeros, stable.init(PARAMS_J), PARAMS_J, value=8.0)
        np.testing.assert_array_equal(u["b"], [moved])


def test_a_python_number_is_a_gradient():
    """One entry of size 4: δ = 0.02/4."""
    optimizer = wdjax.with_stable_weight_decay(optax.set_to_zero(), 0.02)
    u, _ = optimizer.update(4.0, optimizer.init(3.0), 3.0)
    np.testing.assert_allclose(u, -0.02 / 4 * 3.0, rtol=1e-14)


def test_a_rate_of_zero_is_no_second_pull_but_a_schedule_may_rise():
    penalised = wdjax.with_l2(optax.sgd(0.1), 0.1)
    wdjax.with_stable_weight_decay(penalised, 0.0).init(PARAMS_J)
    rising = wdjax.with_stable_weight_decay(penalised, lambda t: 0.1 * t)
    with pytest.warns(wdjax.DecayWarning, match="L2 and weight decay both act"):
        rising.init(PARAMS_J)


def test_a_second_pull_on_a_leaf_is_warned_of():
    penalised = wdjax.with_l2(optax.sgd(0.1), 0.1)
    for make in (
        lambda **k: wdjax.with_stable_weight_decay(penalised, 0.1, **k),
        lambda **k: corrected(penalised, **k),
    ):
        with pytest.warns(wdjax.DecayWarning, match="L2 and weight decay both act"):
            make().init(PARAMS_J)
        with pytest.raises(ValueError, match="L2 and weight decay both act"):
            make(strict=True).init(PARAMS_J)


BAD = {
    "b2": (lambda: wdjax.adams(0.1, 0.1, b2=1.0), "b2 is 1; .*below 1"),
    "b2 of the wrapper": (
        lambda: wdjax.with_stable_weight_decay(optax.sgd(0.1), 0.1, b2=1.0),
        "^b2 is 1; .*below 1",
    ),
    "momentum": (
        lambda: wdjax.sgds(0.1, 0.1, momentum=1.5),
        r"momentum is 1\.5; .*below 1",
    ),
    "dampening": (lambda: wdjax.sgds(0.1, 0.1, dampening=-1), "dampening is -1; it"),
    "rate": (
        lambda: wdjax.with_stable_weight_decay(optax.sgd(0.1), -1.0),
        "decay_rate is -1; it must be finite",
    ),
    "peak": (
        lambda: wdjax.with_corrected_weight_decay(
            optax.sgd(0.1), 0.1, schedule, normalised=ONLY_W
        ),
        "needs its peak: give peak_learning_rate=",
    ),
    "zero peak": (
        lambda: wdjax.with_corrected_weight_decay(
            optax.sgd(0.1), 0.1, schedule, normalised=ONLY_W, peak_learning_rate=0.0
        ),
        "peak_learning_rate is 0; it must be larger",
    ),
    "rule": (
        lambda: corrected(optax.sgd(0.1)).init({"x": jnp.ones(2)}),
        "pattern 'w' matches no leaf",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_senseless_input_is_refused_by_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
