"""LAMB and LARS: the decay inside the trust ratio."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.optimizers.problem import (
    ALPHA,
    LAM,
    RATIOS,
    STEPS,
    THETA,
    assert_close,
    by_hand,
    run,
    schedule,
)
from wdjax.optimizers import lamb, lars

ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-3}
COSINE = 0.5 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))


def lamb_by_hand(lam):
    """You et al.'s Algorithm 2, φ(z) = z."""

    def step(g, theta, alpha, t, s):
        s["m"] = 0.8 * s["m"] + 0.2 * g
        s["v"] = 0.95 * s["v"] + 0.05 * g**2
        r = s["m"] / (1 - 0.8**t) / (np.sqrt(s["v"] / (1 - 0.95**t)) + 1e-3)
        r = r + lam[t - 1] * theta
        return alpha * np.linalg.norm(theta) / np.linalg.norm(r) * r

    return by_hand(step)


def lars_by_hand(lam, nesterov):
    """You et al.'s Algorithm 1 with ‖g + λθ‖ for ‖g‖ + λ‖θ‖."""

    def step(g, theta, alpha, t, s):
        r = g + lam[t - 1] * theta
        ratio = 0.1 * np.linalg.norm(theta) / (np.linalg.norm(r) + 1e-2)
        s["v"] = 0.9 * s["v"] + alpha * ratio * r
        return 0.9 * s["v"] + alpha * ratio * r if nesterov else s["v"]

    return by_hand(step)


def test_lamb_is_algorithm_2():
    lam = lambda t: LAM * jnp.asarray(COSINE)[t]  # noqa: E731 - a schedule of λ
    assert_close(run(lamb(schedule, LAM, **ADAM)), lamb_by_hand(np.full(STEPS, LAM)))
    assert_close(run(lamb(schedule, lam, **ADAM)), lamb_by_hand(LAM * COSINE))


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_is_algorithm_1_with_the_norm_of_the_sum(nesterov):
    hypers = {"trust_coefficient": 0.1, "eps": 1e-2, "nesterov": nesterov}
    ours = run(lars(schedule, LAM, momentum=0.9, **hypers))
    assert_close(ours, lars_by_hand(np.full(STEPS, LAM), nesterov))


@pytest.mark.parametrize("rate", [ALPHA, schedule], ids=["constant", "schedule"])
@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_agrees_with_optax(make, rate):
    mask = jax.tree.map(lambda p: p.ndim > 1, THETA)
    name = "mask" if make is lamb else "weight_decay_mask"
    theirs = getattr(optax, make.__name__)(rate, weight_decay=LAM, **{name: mask})
    assert_close(run(make(rate, LAM, where=wdjax.where.matrices)), run(theirs))


@pytest.mark.parametrize("lam", [1e-4, 0.4, 30.0])
def test_at_zero_gradient_lamb_removes_alpha_whatever_lambda_is(lam):
    optimizer = lamb(ALPHA, lam)
    theta = jnp.asarray(THETA["kernel"])
    u, _ = optimizer.update(jnp.zeros((2, 3)), optimizer.init(theta), theta)
    np.testing.assert_allclose(u, -ALPHA * theta, rtol=1e-14)


@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_the_length_of_the_step_does_not_know_lambda(make):
    """λ turns it; ‖u‖ = α‖θ‖ (times LARS's coefficient) for every λ."""
    theta = jnp.asarray(THETA["kernel"])
    steps = []
    for lam in (0.0, LAM, 10 * LAM):
        optimizer = make(ALPHA, lam)
        steps.append(optimizer.update(jnp.cos(theta), optimizer.init(theta), theta)[0])
    length = ALPHA * np.linalg.norm(theta) * (1 if make is lamb else 1e-3)
    np.testing.assert_allclose([np.linalg.norm(u) for u in steps], length, rtol=1e-12)
    assert np.abs(steps[1] - steps[0]).max() > 1e-2 * length


@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_missing_params_are_asked_for_by_name(make):
    optimizer = make(ALPHA, LAM)
    with pytest.raises(ValueError, match=f"{make.__name__} needs the parameters"):
        optimizer.update(THETA, optimizer.init(THETA))


@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_a_second_decay_behind_the_ratio_is_decay(make):
    """`with_weight_decay(lamb(α, 0), δ)` removes δ, as the docstring has it."""
    optimizer = wdjax.with_weight_decay(make(ALPHA, 0.0), 0.25)
    theta = jnp.asarray(THETA["kernel"])
    u, _ = optimizer.update(jnp.zeros((2, 3)), optimizer.init(theta), theta)
    np.testing.assert_array_equal(u, -0.25 * theta)


def test_a_bad_hyper_parameter_is_refused_by_name():
    for make, name, bad in (
        (lamb, "b1", 1.0),
        (lamb, "b2", 1.0),
        (lamb, "eps", -1.0),
        (lars, "momentum", 1.0),
        (lars, "trust_coefficient", -1.0),
        (lars, "eps", np.nan),
    ):
        with pytest.raises(ValueError, match=f"^{name} is .*; it must be"):
            make(ALPHA, LAM, **{name: bad})


@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_each_layer_of_a_stack_has_a_ratio_of_its_own(make):
    """A stack of two by three matrices against six optimizers, one for each."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** np.arange(6).reshape(2, 3, 1, 1)
    params = {
        "alone": jnp.asarray(rng.normal(size=(4, 5))),
        "stack": jnp.asarray(scales * rng.normal(size=(2, 3, 4, 5))),
    }
    gradient = jax.tree.map(jnp.cos, params)

    def step(optimizer, g, theta):
        return optimizer.update(g, optimizer.init(theta), theta)[0]

    u = step(make(ALPHA, LAM, stacked={"stack": 2}), gradient, params)
    each = jax.vmap(jax.vmap(lambda g, theta: step(make(ALPHA, LAM), g, theta)))
    expected = each(gradient["stack"], params["stack"])
    np.testing.assert_allclose(u["stack"], expected, rtol=1e-12)
    alone = step(make(ALPHA, LAM), gradient["alone"], params["alone"])
    np.testing.assert_allclose(u["alone"], alone, rtol=1e-12)
    together = step(make(ALPHA, LAM), gradient, params)["stack"]
    assert np.abs(together / expected - 1).max() > 0.5  # one ratio for all would show


@pytest.mark.parametrize("make", RATIOS, ids=lambda make: make.__name__)
def test_a_stack_that_is_not_there_is_refused(make):
    optimizer, params = make(ALPHA, LAM, stacked={"stck": 1}), {"stack": jnp.ones(3)}
    with pytest.raises(ValueError, match="'stck' matches no leaf"):
        optimizer.init(params)
    assert optax.tree.map_params(optimizer, str, optimizer.init({}), {}) is not None


@pytest.mark.parametrize(("make", "link"), [(lamb, 2), (lars, 1)])
def test_the_ratio_has_the_state_that_it_has_in_optax(make, link):
    state = make(ALPHA, LAM).init({"w": jnp.ones(3)})
    assert state[link] == optax.scale_by_trust_ratio().init({"w": jnp.ones(3)})
