"""SGD: Algorithm 1, the two places of the learning rate, Optax and PyTorch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.optimizers.problem import (
    ALPHA,
    ETA,
    LAM,
    RATES,
    STEPS,
    THETA,
    assert_close,
    by_hand,
    gradient,
    run,
    schedule,
)
from wdjax import optimizers

ONES = np.ones(STEPS)
FREE = [wdjax.sgd_l2, wdjax.sgdw, optimizers.sgd_l2_velocity, optimizers.sgdw_velocity]
every = pytest.mark.parametrize("make", FREE, ids=lambda make: make.__name__)


def algorithm_1(eta, alpha, beta, l2, decay):
    """Loshchilov & Hutter's Algorithm 1: lines 6 to 9, in their order."""

    def step(g, theta, _, t, s):
        s["m"] = beta * s["m"] + eta[t - 1] * alpha * g
        return s["m"]

    return by_hand(step, l2=l2, delta=eta * decay)


@pytest.mark.parametrize("beta", [0.0, 0.9])
@pytest.mark.parametrize(
    ("pink", "green"), [FREE[:2], FREE[2:]], ids=["sgd", "velocity"]
)
def test_sgd_is_algorithm_1_at_a_constant_rate(pink, green, beta):
    ours = run(green(ALPHA, 0.1, convention=wdjax.PAPER, momentum=beta))
    assert_close(ours, algorithm_1(ONES, ALPHA, beta, 0.0, 0.1))
    ours = run(pink(ALPHA, LAM, momentum=beta))
    assert_close(ours, algorithm_1(ONES, ALPHA, beta, LAM, 0.0))


def test_the_velocity_is_algorithm_1_under_a_schedule_too():
    green = optimizers.sgdw_velocity(
        schedule,
        0.1,
        convention=wdjax.PAPER,
        momentum=0.9,
        peak_learning_rate=ALPHA,
    )
    pink = optimizers.sgd_l2_velocity(schedule, LAM, momentum=0.9)
    assert_close(run(green), algorithm_1(ETA, ALPHA, 0.9, 0.0, 0.1))
    assert_close(run(pink), algorithm_1(ETA, ALPHA, 0.9, LAM, 0.0))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("outside", "inside"), [FREE[::2], FREE[1::2]])
def test_the_place_of_the_learning_rate_shows_under_a_schedule_only(
    outside, inside, nesterov
):
    hypers = {"momentum": 0.9, "nesterov": nesterov}
    constant = [run(make(ALPHA, LAM, **hypers)) for make in (outside, inside)]
    assert_close(*constant)
    outer, inner = (run(make(schedule, LAM, **hypers)) for make in (outside, inside))
    apart = max(np.abs(outer[name][-1] - inner[name][-1]).max() for name in THETA)
    assert apart > 0.3  # of weights of about 1


def test_a_velocity_coasts_after_the_rate_has_reached_zero():
    """At α_t = 0 the buffer still moves θ, by a factor of β less each time."""
    rates = np.where(np.arange(STEPS) < 6, ALPHA, 0.0)
    path = run(
        optimizers.sgd_l2_velocity(lambda t: jnp.asarray(rates)[t], LAM, momentum=0.5)
    )["bias"]
    moves = np.diff(path, axis=0)[5:]
    np.testing.assert_allclose(moves[1:], 0.5 * moves[:-1], rtol=1e-12)
    assert (np.abs(moves) > 0).all()


@every
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_zero_is_one_path_python_or_traced(make, nesterov):
    theta = jnp.asarray(THETA["kernel"])

    def update(momentum, theta):
        optimizer = make(ALPHA, LAM, momentum=momentum, nesterov=nesterov)
        state = optimizer.init(theta)
        u, state = optimizer.update(gradient(theta, 0), state, theta)
        return u, optimizer.update(gradient(theta, 1), state, theta)

    python = jax.jit(lambda theta: update(0.0, theta))(theta)
    traced = jax.jit(update)(0.0, theta)
    chex.assert_trees_all_equal_structs(python, traced)
    # The same operations; a compiler that knows β may contract sums differently.
    chex.assert_trees_all_close(python, traced, rtol=1e-15)
    # and decay is still on: −α(g + λθ), both places, as there is no momentum
    g = gradient(THETA["kernel"], 0) + LAM * THETA["kernel"]
    np.testing.assert_allclose(traced[0], -ALPHA * g, rtol=1e-12)


def test_without_momentum_l2_is_decay():
    """δ = αλ₂: the one optimizer for which the places agree."""
    for pink, green in (FREE[:2], FREE[2:]):
        assert_close(run(pink(schedule, LAM)), run(green(schedule, LAM)))


@pytest.mark.parametrize("rate", [ALPHA, schedule], ids=["constant", "schedule"])
def test_agrees_with_optax(rate):
    decayed = optax.add_decayed_weights(LAM)
    behind = optax.chain(optax.trace(0.9), decayed, optax.scale_by_learning_rate(rate))
    assert_close(run(wdjax.sgdw(rate, LAM, momentum=0.9)), run(behind))
    nesterov = {"momentum": 0.9, "nesterov": True}
    in_front = optax.chain(decayed, optax.sgd(rate, **nesterov))
    assert_close(run(wdjax.sgd_l2(rate, LAM, **nesterov)), run(in_front))


@pytest.mark.parametrize("hypers", [{}, {"momentum": 0.9, "nesterov": True}])
def test_agrees_with_pytorch(hypers):
    torch = pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    theta = torch.nn.Parameter(torch.tensor(THETA["kernel"]))
    optimizer = torch.optim.SGD([theta], lr=ALPHA, weight_decay=LAM, **hypers)
    path = []
    for t in range(STEPS):
        theta.grad = torch.sin(3.0 * theta.detach() + t) + 0.1 * theta.detach()
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    ours = run(wdjax.sgd_l2(ALPHA, LAM, **hypers))["kernel"]
    np.testing.assert_allclose(ours, path, rtol=1e-12)


@every
@pytest.mark.parametrize("bad", [1.0, 1.5, -0.1, jnp.array(1.0), np.nan])
def test_a_momentum_outside_its_range_is_refused(make, bad):
    with pytest.raises(ValueError, match=r"^momentum is .*; it must be"):
        make(ALPHA, LAM, momentum=bad)


def test_the_rates_are_the_ones_by_hand():
    """`schedule` and `RATES` are one table; the oracle and ours could not part."""
    np.testing.assert_array_equal([schedule(t) for t in range(STEPS)], RATES)


@every
def test_no_momentum_is_a_momentum_of_zero_without_a_buffer(make):
    bare = make(schedule, LAM, momentum=None)
    buffered = make(schedule, LAM, momentum=0.0)
    assert_close(run(bare), run(buffered), rtol=1e-15)
    params = jax.tree.map(jnp.asarray, THETA)
    assert all(x.ndim == 0 for x in jax.tree.leaves(bare.init(params)))


@every
def test_nesterov_without_momentum_is_refused(make):
    with pytest.raises(ValueError, match="nesterov is True and momentum is None"):
        make(ALPHA, LAM, momentum=None, nesterov=True)
