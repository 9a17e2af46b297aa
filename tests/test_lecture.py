"""The lecture's two sentences: L2 is weight decay for SGD, and is not for Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import testing

ALPHA, L2, STEPS = 0.05, 0.3, 50
COSINE = optax.cosine_decay_schedule(ALPHA, STEPS)
RATES = {
    "constant": lambda t: ALPHA,
    "cosine": lambda t: jnp.asarray(COSINE(t), float),  # Optax's own is float32
}
X = jnp.linspace(-1.5, 1.5, 24).reshape(6, 4) ** 3
PARAMS = {"w": jnp.array([1.0, -0.5, 0.3, 2.0]), "b": jnp.array(0.5)}


def loss(params, t=0):
    """Not quadratic, not isotropic, and another one in every step."""
    return jnp.mean(jnp.cos(X @ params["w"] + params["b"] + t))


PROBLEM = testing.Problem(PARAMS, jax.grad(loss))


def stateful(rule):
    """An Optax optimizer from a rule ``(t, gradient, parameter) -> update``."""

    def update(updates, t, params=None):
        u = jax.tree.map(lambda g, p: rule(t, g, p), updates, params)
        return u, t + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), int), update)


def penalised_loss(rate):
    """∇(f + ½λ‖θ‖²), the penalty's part by autodiff of a penalty written here."""

    def penalty(p):
        return 0.5 * L2 * jnp.sum(p**2)

    return stateful(lambda t, g, p: -rate(t) * (g + jax.grad(penalty)(p)))


def shrinking(rate):
    """θ ← (1 − α_tλ)θ − α_t g, as the lecture writes it."""

    def rule(t, g, p):
        return ((1 - rate(t) * L2) * p - rate(t) * g) - p

    return stateful(rule)


FORMS = {
    "penalised loss": penalised_loss,
    "sgd_l2": lambda rate: wdjax.sgd_l2(rate, L2),
    "with_l2": lambda rate: wdjax.with_l2(optax.sgd(rate), L2),
    "shrinking": shrinking,
    "sgdw": lambda rate: wdjax.sgdw(rate, L2),
    "Hanson & Pratt": lambda rate: wdjax.with_weight_decay(
        optax.sgd(rate),
        wdjax.decay_rate(lambda t: L2 * rate(t), rate, wdjax.CONSTANT),
    ),
}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("form", FORMS)
def test_l2_equals_weight_decay_for_sgd(form, rate):
    """The default tolerance: rounding error of 50 steps in float64, 2e-13."""
    reference = optax.chain(optax.add_decayed_weights(L2), optax.sgd(rate))
    testing.assert_equivalent(FORMS[form](rate), reference, problem=PROBLEM)


def test_a_float32_schedule_does_not_cost_the_identity():
    """δ_t = α_tλ must not be rounded to float32 where α_t·(λθ) is not."""
    coupled, behind = wdjax.sgd_l2(COSINE, L2), wdjax.sgdw(COSINE, L2)
    testing.assert_equivalent(coupled, behind, problem=PROBLEM)


def test_hanson_and_pratts_decay_is_alpha_lambda():
    """λ' = αλ for any α and λ: twelve random pairs at once."""
    alpha_key, l2_key = jax.random.split(jax.random.key(2))
    alphas = jax.random.uniform(alpha_key, 12, minval=1e-4, maxval=0.1)
    l2s = jax.random.uniform(l2_key, 12, minval=1e-4, maxval=2.0)

    def gap(alpha, l2):
        coupled = wdjax.sgd_l2(alpha, l2)
        behind = wdjax.sgdw(alpha, alpha * l2, convention=wdjax.CONSTANT)
        paths = (testing.trajectory(o, PROBLEM, STEPS) for o in (behind, coupled))
        return distance(*paths)

    # Rounding error of 50 steps, as `assert_equivalent` has it.
    assert jax.jit(jax.vmap(gap))(alphas, l2s).max() < 16 * 2.3e-16 * STEPS


def test_autodiff_of_the_penalised_loss_is_add_l2():
    """One gradient of the whole sum f + l2_penalty, run by plain SGD."""

    def penalised(params):
        return loss(params) + wdjax.l2_penalty(params, L2)

    plain = testing.trajectory(
        optax.sgd(ALPHA),
        testing.Problem(PARAMS, lambda p, t: jax.grad(penalised)(p)),
        STEPS,
    )
    with_l2 = testing.trajectory(
        wdjax.sgd_l2(ALPHA, L2),
        testing.Problem(PARAMS, lambda p, t: jax.grad(loss)(p)),
        STEPS,
    )
    # Rounding error of 50 steps; the iterates are of order 1.
    for a, b in zip(*map(jax.tree.leaves, (plain, with_l2)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def distance(path, reference):
    """Largest d_t over leaves and steps, as `wdjax.testing` defines it."""
    pairs = zip(jax.tree.leaves(path), jax.tree.leaves(reference), strict=True)
    return jnp.array([jnp.abs(a - b).max() / jnp.abs(b).max() for a, b in pairs]).max()


def distances(make, reference, rates):
    """d between the reference and `make(rate)`, for every rate."""
    path = testing.trajectory(reference, PROBLEM, STEPS)

    def one(rate):
        return distance(testing.trajectory(make(rate), PROBLEM, STEPS), path)

    return np.asarray(jax.jit(jax.vmap(one))(rates))


# δ from 1e-10 (nothing) to 1 (the whole parameter, in every step), and none at all.
DELTAS = np.concatenate([[0.0], np.geomspace(1e-10, 1.0, 100)])


def test_no_decay_equals_l2_for_adam():
    """Whatever λ', AdamW is 0.1 of a leaf's largest entry away; measured: 0.19."""

    def make(delta):
        return wdjax.adamw(ALPHA, delta, convention=wdjax.CONSTANT)

    gaps = distances(make, wdjax.adam_l2(ALPHA, L2), jnp.array(DELTAS))
    assert gaps.min() > 0.1
    assert 0 < gaps.argmin() < len(gaps) - 1  # the best λ' is inside the scan


def test_the_same_scan_finds_the_equal_decay_for_sgd():
    """The scan can find an equivalence where there is one: it is not blind."""

    def make(delta):
        return wdjax.sgdw(ALPHA, delta, convention=wdjax.CONSTANT)

    deltas = jnp.array([*DELTAS, ALPHA * L2])
    gaps = distances(make, wdjax.sgd_l2(ALPHA, L2), deltas)
    assert gaps.argmin() == len(gaps) - 1
    assert gaps.min() < 1e-13  # rounding error of 50 steps
    assert np.sort(gaps)[1] > 1e-3


@pytest.mark.parametrize("nesterov", [False, True])
def test_no_decay_equals_l2_for_heavy_ball(nesterov):
    """Momentum acts on the penalty: neither αλ nor αλ/(1 − β) is the same path."""
    kinds = {"momentum": 0.9, "nesterov": nesterov}

    def make(delta):
        return wdjax.sgdw(ALPHA, delta, convention=wdjax.CONSTANT, **kinds)

    naive = ALPHA * L2
    deltas = jnp.array([*DELTAS, naive, naive / (1 - 0.9)])
    gaps = distances(make, wdjax.sgd_l2(ALPHA, L2, **kinds), deltas)
    assert gaps.min() > 0.25  # measured: 0.46 and, with Nesterov, 0.54


def test_adam_with_l2_diverges_from_adamw():
    """The paper's title, as one assertion: δ = αλ is no equivalence here."""
    pair = wdjax.adam_l2(ALPHA, L2), wdjax.adamw(ALPHA, L2)
    testing.assert_divergent(*pair, at_least=0.3, problem=PROBLEM)


def quadratic(seed=0, d=4):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    return A @ A.T / d + 0.2 * np.eye(d), rng.normal(size=d)


def rest(optimizer, H, theta_star, steps=4_000):
    """Where full gradients of ½(θ−θ*)ᵀH(θ−θ*) lead."""
    H, theta_star = jnp.array(H), jnp.array(theta_star)

    def step(carry, _):
        theta, state = carry
        updates, state = optimizer.update(H @ (theta - theta_star), state, theta)
        return (optax.apply_updates(theta, updates), state), None

    start = (jnp.zeros_like(theta_star), optimizer.init(theta_star))
    return np.asarray(
        jax.jit(lambda c: jax.lax.scan(step, c, None, steps)[0][0])(start)
    )


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_heavy_ball_rests_at_ridge_with_the_corrected_decay(beta, nesterov):
    H, theta_star = quadratic()
    kinds = {"momentum": beta, "nesterov": nesterov}

    def ridge(l2):
        return np.linalg.solve(H + l2 * np.eye(4), H @ theta_star)

    def decoupled(delta):
        make = wdjax.sgdw(ALPHA, delta, convention=wdjax.CONSTANT, **kinds)
        return rest(make, H, theta_star)

    # Contraction 1 − α(h + λ) ≤ 0.975 per step: converged to rounding error.
    close = {"rtol": 1e-10}
    coupled = rest(wdjax.sgd_l2(ALPHA, L2, **kinds), H, theta_star)
    np.testing.assert_allclose(coupled, ridge(L2), **close)
    corrected = decoupled(ALPHA * L2 / (1 - beta))
    np.testing.assert_allclose(corrected, ridge(L2), **close)
    np.testing.assert_allclose(decoupled(ALPHA * L2), ridge((1 - beta) * L2), **close)
    if beta:
        assert np.abs(ridge(L2) / ridge((1 - beta) * L2) - 1).max() > 0.05


def test_adam_l2_rests_at_ridge_and_adamw_does_not():
    """Adam + L2 solves the penalised problem; AdamW solves another one."""
    H, theta_star = quadratic()
    ridge = np.linalg.solve(H + L2 * np.eye(4), H @ theta_star)
    to_zero = optax.cosine_decay_schedule(ALPHA, 4_000)
    coupled = rest(wdjax.adam_l2(to_zero, L2), H, theta_star)
    decoupled = rest(wdjax.adamw(to_zero, L2), H, theta_star)
    # Adam's last steps are of size α_t → 0; what is left is far below 1e-4.
    np.testing.assert_allclose(coupled, ridge, atol=1e-4)
    assert np.abs(decoupled - ridge).max() > 0.05
