"""The named chains, against NumPy, Optax, PyTorch and the paper's algorithms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax

ALPHA, LAM, B1, B2, EPS, STEPS = 0.05, 0.4, 0.8, 0.95, 1e-6, 12
ADAM = {"b1": B1, "b2": B2, "eps": EPS}
THETA = np.array([[1.0, -2.0, 0.3], [0.5, 3.0, -0.1]])
# η_t: warm-up from 0, then cosine to 0.
ETA = np.concatenate([np.arange(3) / 3, 0.5 * (1 + np.cos(np.pi * np.arange(9) / 8))])
# Twelve steps in float64; every operation of ours is done in another order by hand.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}
MAKERS = [wdjax.sgd_l2, wdjax.sgdw, wdjax.adam_l2, wdjax.adamw]
makers = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def gradient(theta, t):
    """The same formula for NumPy and JAX."""
    module = np if isinstance(theta, np.ndarray) else jnp
    return module.sin(3.0 * theta + t) + 0.1 * theta


def schedule(t):
    return ALPHA * jnp.asarray(ETA)[t]


def run(optimizer, compiled=jax.jit):
    theta, state, path = jnp.asarray(THETA), optimizer.init(jnp.asarray(THETA)), []
    update = compiled(optimizer.update)
    for t in range(STEPS):
        updates, state = update(gradient(theta, t), state, theta)
        theta = optax.apply_updates(theta, updates)
        path.append(theta)
    return np.array(path)


def adam_by_hand(eta, alpha, l2, decay):
    """Loshchilov & Hutter's Algorithm 2: lines 6 to 12, in their order."""
    theta, m, v, path = THETA.copy(), 0.0, 0.0, []
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1) + l2 * theta
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g**2
        m_hat, v_hat = m / (1 - B1**t), v / (1 - B2**t)
        theta = theta - eta[t - 1] * (
            alpha * m_hat / (np.sqrt(v_hat) + EPS) + decay * theta
        )
        path.append(theta)
    return np.array(path)


def sgd_by_hand(eta, alpha, beta, l2, decay):
    """Loshchilov & Hutter's Algorithm 1: the learning rate inside the momentum."""
    theta, m, path = THETA.copy(), 0.0, []
    for t in range(STEPS):
        g = gradient(theta, t) + l2 * theta
        m = beta * m + eta[t] * alpha * g
        theta = theta - m - eta[t] * decay * theta
        path.append(theta)
    return np.array(path)


def test_adamw_is_algorithm_2_green():
    paper = {"convention": wdjax.PAPER, "peak_learning_rate": ALPHA, **ADAM}
    by_hand = adam_by_hand(ETA, ALPHA, 0.0, LAM)
    np.testing.assert_allclose(
        run(wdjax.adamw(schedule, LAM, **paper)), by_hand, **CLOSE
    )


def test_adam_l2_is_algorithm_2_pink():
    by_hand = adam_by_hand(ETA, ALPHA, LAM, 0.0)
    np.testing.assert_allclose(
        run(wdjax.adam_l2(schedule, LAM, **ADAM)), by_hand, **CLOSE
    )


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_sgd_is_algorithm_1_at_a_constant_rate(beta):
    ones = np.ones(STEPS)
    green = wdjax.sgdw(ALPHA, 0.1, convention=wdjax.PAPER, momentum=beta)
    pink = wdjax.sgd_l2(ALPHA, LAM, momentum=beta)
    np.testing.assert_allclose(
        run(green), sgd_by_hand(ones, ALPHA, beta, 0.0, 0.1), **CLOSE
    )
    np.testing.assert_allclose(
        run(pink), sgd_by_hand(ones, ALPHA, beta, LAM, 0.0), **CLOSE
    )


def test_under_a_schedule_algorithm_1_is_another_optimizer():
    """Its learning rate sits inside the momentum, Optax's and PyTorch's outside."""
    ours = run(
        wdjax.sgdw(
            schedule,
            0.1,
            convention=wdjax.PAPER,
            momentum=0.9,
            peak_learning_rate=ALPHA,
        )
    )
    theirs = sgd_by_hand(ETA, ALPHA, 0.9, 0.0, 0.1)
    assert np.abs(ours[-1] - theirs[-1]).max() > 0.1


DELTAS = {
    "OPTAX": (wdjax.OPTAX, LAM * ALPHA * ETA),
    "PAPER": (wdjax.PAPER, LAM * ETA),
    "CONSTANT": (wdjax.CONSTANT, LAM * np.ones(STEPS)),
    "CORRECTED": (wdjax.CORRECTED, LAM * ALPHA * ETA**2),
    "SQUARED": (wdjax.SQUARED, LAM * ALPHA**2 * ETA**2),
}


@pytest.mark.parametrize("make", [wdjax.sgdw, wdjax.adamw], ids=lambda m: m.__name__)
@pytest.mark.parametrize("name", DELTAS)
def test_every_convention_removes_its_fraction(make, name):
    """θ' − θ + α_t r = −δ_tθ over a schedule with warm-up from 0; never NaN."""
    convention, delta = DELTAS[name]
    with_decay = make(schedule, LAM, convention=convention, peak_learning_rate=ALPHA)
    base = make(schedule, 0.0, convention=convention, peak_learning_rate=ALPHA)
    theta, state = jnp.asarray(THETA), with_decay.init(jnp.asarray(THETA))
    base_state = base.init(theta)
    for t in range(STEPS):
        g = gradient(theta, t)
        u, state = with_decay.update(g, state, theta)
        r, base_state = base.update(g, base_state, theta)
        removed = np.asarray((r - u) / theta)
        # Cancellation in r − u: an absolute error of a few ε of u.
        np.testing.assert_allclose(removed, np.full((2, 3), delta[t]), atol=2e-14)
        theta = optax.apply_updates(theta, u)


ORACLES = {
    "adamw": (
        lambda rate: wdjax.adamw(rate, LAM, **ADAM),
        lambda rate: optax.adamw(rate, weight_decay=LAM, **ADAM),
    ),
    "adam_l2": (
        lambda rate: wdjax.adam_l2(rate, LAM, **ADAM),
        lambda rate: optax.chain(
            optax.add_decayed_weights(LAM), optax.adam(rate, **ADAM)
        ),
    ),
    "sgdw": (
        lambda rate: wdjax.sgdw(rate, LAM, momentum=0.9),
        lambda rate: optax.chain(
            optax.trace(0.9),
            optax.add_decayed_weights(LAM),
            optax.scale_by_learning_rate(rate),
        ),
    ),
    "sgd_l2 nesterov": (
        lambda rate: wdjax.sgd_l2(rate, LAM, momentum=0.9, nesterov=True),
        lambda rate: optax.chain(
            optax.add_decayed_weights(LAM), optax.sgd(rate, momentum=0.9, nesterov=True)
        ),
    ),
}


@pytest.mark.parametrize("rate", [ALPHA, schedule], ids=["constant", "schedule"])
@pytest.mark.parametrize(("ours", "theirs"), ORACLES.values(), ids=ORACLES)
def test_agrees_with_optax(ours, theirs, rate):
    np.testing.assert_allclose(run(ours(rate)), run(theirs(rate)), **CLOSE)


def run_torch(torch, make):
    theta = torch.nn.Parameter(torch.tensor(THETA, dtype=torch.float64))
    optimizer, path = make([theta]), []
    for t in range(STEPS):
        theta.grad = torch.sin(3.0 * theta.detach() + t) + 0.1 * theta.detach()
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)


@pytest.mark.parametrize(
    ("name", "ours", "hypers"),
    [
        ("AdamW", wdjax.adamw(ALPHA, LAM, **ADAM), {"betas": (B1, B2), "eps": EPS}),
        ("Adam", wdjax.adam_l2(ALPHA, LAM, **ADAM), {"betas": (B1, B2), "eps": EPS}),
        ("SGD", wdjax.sgd_l2(ALPHA, LAM), {}),
        (
            "SGD",
            wdjax.sgd_l2(ALPHA, LAM, momentum=0.9, nesterov=True),
            {"momentum": 0.9, "nesterov": True},
        ),
    ],
    ids=["AdamW", "Adam", "SGD", "SGD nesterov"],
)
def test_agrees_with_pytorch(name, ours, hypers):
    torch = pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    make = getattr(torch.optim, name)
    theirs = run_torch(torch, lambda p: make(p, lr=ALPHA, weight_decay=LAM, **hypers))
    np.testing.assert_allclose(run(ours), theirs, **CLOSE)


BASES = {
    "sgd_l2": (lambda: wdjax.sgd_l2(ALPHA, 0.0), lambda: optax.sgd(ALPHA)),
    "sgdw": (
        lambda: wdjax.sgdw(ALPHA, 0.0, momentum=0.9),
        lambda: optax.sgd(ALPHA, momentum=0.9),
    ),
    "adam_l2": (lambda: wdjax.adam_l2(ALPHA, 0.0), lambda: optax.adam(ALPHA)),
    "adamw": (lambda: wdjax.adamw(ALPHA, 0.0), lambda: optax.adam(ALPHA)),
    "with_l2": (
        lambda: wdjax.with_l2(optax.lion(ALPHA, weight_decay=0.0), 0.0),
        lambda: optax.lion(ALPHA, weight_decay=0.0),
    ),
    "with_weight_decay": (
        lambda: wdjax.with_weight_decay(optax.rmsprop(ALPHA), 0.0),
        lambda: optax.rmsprop(ALPHA),
    ),
}


@pytest.mark.parametrize(("ours", "base"), BASES.values(), ids=BASES)
def test_zero_decay_is_the_base_bitwise(ours, base):
    """Operation by operation: compiled, the sums may be contracted differently."""
    eager = {"compiled": lambda f: f}
    np.testing.assert_array_equal(run(ours(), **eager), run(base(), **eager))


@makers
def test_any_decay_is_not_the_base(make):
    assert np.abs(run(make(ALPHA, LAM)) - run(make(ALPHA, 0.0))).max() > 1e-2


@pytest.mark.parametrize("make", MAKERS[:2], ids=lambda make: make.__name__)
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_zero_is_one_path_python_or_traced(make, nesterov):
    def update(momentum, theta):
        optimizer = make(ALPHA, LAM, momentum=momentum, nesterov=nesterov)
        state = optimizer.init(theta)
        u, state = optimizer.update(gradient(theta, 0), state, theta)
        return u, optimizer.update(gradient(theta, 1), state, theta)

    python = jax.jit(lambda theta: update(0.0, theta))(jnp.asarray(THETA))
    traced = jax.jit(update)(0.0, jnp.asarray(THETA))
    chex.assert_trees_all_equal_structs(python, traced)
    chex.assert_trees_all_equal(python, traced)
    # and decay is still on: −α(g + λθ), both places, as there is no momentum
    expected = -ALPHA * (gradient(THETA, 0) + LAM * THETA)
    np.testing.assert_allclose(traced[0], expected, **CLOSE)


@makers
def test_every_hyper_parameter_may_be_traced(make):
    betas = (
        {"momentum": 0.5} if make in MAKERS[:2] else {"b1": B1, "b2": B2, "eps": EPS}
    )

    def update(alpha, lam, betas, theta):
        optimizer = make(alpha, lam, **betas)
        return optimizer.update(gradient(theta, 0), optimizer.init(theta), theta)[0]

    theta = jnp.asarray(THETA)
    traced = jax.jit(update)(ALPHA, LAM, betas, theta)
    np.testing.assert_allclose(traced, update(ALPHA, LAM, betas, theta), **CLOSE)


@makers
def test_the_rule_decides_which_leaves_are_decayed(make):
    params = {"kernel": jnp.asarray(THETA), "bias": jnp.asarray(THETA[0])}
    g = jax.tree.map(lambda p: gradient(p, 0), params)
    ruled = make(ALPHA, LAM, where=wdjax.where.matrices)
    base, full = make(ALPHA, 0.0), make(ALPHA, LAM)
    seen, without, everywhere = (
        o.update(g, o.init(params), params)[0] for o in (ruled, base, full)
    )
    np.testing.assert_array_equal(seen["bias"], without["bias"])
    np.testing.assert_array_equal(seen["kernel"], everywhere["kernel"])
    if make is not wdjax.adam_l2:  # whose first step is ±α whatever g is
        assert (seen["kernel"] != without["kernel"]).all()


@makers
def test_a_traced_beta_does_not_widen_the_state(make):
    """bfloat16 moments, float32 β: a scan's carry must keep its type."""
    params = jnp.asarray(THETA, jnp.bfloat16)
    name = "momentum" if make in MAKERS[:2] else "b1"

    @jax.jit
    def moments(beta):
        optimizer = make(ALPHA, LAM, **{name: beta})

        def step(state, _):
            return optimizer.update(params, state, params)[1], None

        return jax.lax.scan(step, optimizer.init(params), None, 2)[0]

    states = jax.tree.leaves(moments(jnp.array(0.5, jnp.float32)))
    assert {x.dtype for x in states if x.ndim} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("make", MAKERS[:2], ids=lambda make: make.__name__)
def test_a_leaf_without_gradient_has_no_update(make):
    """For SGD; ``optax.adam`` itself does not take a gradient of None."""
    params = {"w": jnp.asarray(THETA), "frozen": jnp.ones(2)}
    optimizer = make(ALPHA, LAM)
    state = optimizer.init(params)
    for _ in range(2):
        u, state = optimizer.update({"w": params["w"], "frozen": None}, state, params)
        assert u["frozen"] is None


@makers
@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, jnp.array(-0.1)])
def test_a_bad_rate_is_refused_by_name(make, bad):
    name = "weight_decay" if make in (wdjax.sgdw, wdjax.adamw) else "l2"
    with pytest.raises(ValueError, match=r"learning_rate is .*; it must be"):
        make(bad, LAM)
    with pytest.raises(ValueError, match=f"{name} is .*; it must be finite"):
        make(ALPHA, bad)
