"""The balance of two layers, against networks in NumPy with their gradients by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.theory import layer_balance

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
DEGREES = pytest.mark.parametrize("degree", [1, 2, 3])


def gradients(params, degree, rows=slice(None)):
    """Of ½ mean ‖W₂ max(0, W₁x + b₁)^k + b₂ − y‖², by the chain rule."""
    W1, b1, W2, b2 = params
    x, y = X[rows], Y[rows]
    z = np.maximum(x @ W1.T + b1, 0)
    error = (z**degree @ W2.T + b2 - y) / len(x)
    back = (error @ W2) * degree * z ** (degree - 1) * (z > 0)
    return back.T @ x, back.sum(0), error.T @ z**degree, error.sum(0)


def start():
    rng = np.random.default_rng(2)
    shapes = ((5, 3), (5,), (2, 5), (2,))
    return [0.6 * rng.normal(size=shape) for shape in shapes]


def of_layers(params, degree):
    """B, with the bias in front counted and the one behind not."""
    W1, b1, W2, _ = params
    return layer_balance.balance(
        jnp.asarray((W1**2).sum() + (b1**2).sum()), jnp.asarray((W2**2).sum()), degree
    )


def of_units(params, degree):
    W1, b1, W2, _ = params
    incoming, outgoing = (W1**2).sum(1) + b1**2, (W2**2).sum(0)
    return layer_balance.balance(jnp.asarray(incoming), jnp.asarray(outgoing), degree)


@DEGREES
@pytest.mark.parametrize("delta", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("measure", [of_layers, of_units])
def test_the_recursion_holds_at_every_step_of_mini_batch_sgd(measure, delta, degree):
    alpha, params, rng = 0.02, start(), np.random.default_rng(0)
    for _ in range(30):
        grads = gradients(params, degree, rng.integers(0, 20, 6))
        predicted = layer_balance.step(
            measure(params, degree), alpha, delta, measure(grads, degree)
        )
        params = [
            (1 - delta) * p - alpha * g for p, g in zip(params, grads, strict=True)
        ]
        squares = sum((p**2).sum() for p in params)
        # A few dozen roundings of the sums of squares.
        np.testing.assert_allclose(
            measure(params, degree), predicted, rtol=0, atol=2e-15 * squares
        )


def test_the_bias_in_front_counts():
    """Without it the recursion misses by far more than rounding."""
    alpha, delta, params = 0.02, 0.01, start()
    grads = gradients(params, 1)
    without = [params[0], 0 * params[1], *params[2:]]
    of_grads = [grads[0], 0 * grads[1], *grads[2:]]
    predicted = layer_balance.step(
        of_layers(without, 1), alpha, delta, of_layers(of_grads, 1)
    )
    new = [(1 - delta) * p - alpha * g for p, g in zip(params, grads, strict=True)]
    moved = of_layers([new[0], 0 * new[1], *new[2:]], 1)
    assert abs(float(moved - predicted)) > 1e-4


def test_the_sum_over_steps_is_the_recursion():
    rng = np.random.default_rng(0)
    pushes, alpha, delta = rng.normal(size=50), 0.1, 0.03
    expected = jnp.asarray(2.0)
    for push in pushes:
        expected = layer_balance.step(expected, alpha, delta, jnp.asarray(push))
    found = layer_balance.trajectory(
        jnp.asarray(2.0), alpha, delta, jnp.asarray(pushes)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-13)  # 50 terms


def test_a_constant_push_settles_at_the_resting_balance():
    alpha, delta, push = 0.1, 0.03, jnp.asarray(5.0)
    balance = jnp.asarray(-3.0)
    for _ in range(600):  # 0.97^1200 is 1e-16
        balance = layer_balance.step(balance, alpha, delta, push)
    resting = layer_balance.resting_balance(alpha, delta, push)
    assert float(balance) == pytest.approx(float(resting), rel=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
def test_converged_layers_are_balanced(degree):
    alpha, delta, params = 0.02, 0.004, start()
    first = abs(float(of_layers(params, degree)))
    for _ in range(6000):
        grads = gradients(params, degree)
        params = [
            (1 - delta) * p - alpha * g for p, g in zip(params, grads, strict=True)
        ]
    assert sum((p**2).sum() for p in params) > 0.1  # not all at 0
    # Decay alone leaves e^−48 of the first; the push vanishes at rest like B itself.
    assert abs(float(of_layers(params, degree))) < 1e-6 * first


@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_small_steps_follow_the_flow(l2):
    """The gap halves with the step, as the method is of first order."""
    time, first = 1.0, float(of_layers(start(), 1))

    def gap(steps):
        params, alpha = start(), time / steps
        for _ in range(steps):
            grads = gradients(params, 1)
            params = [
                (1 - alpha * l2) * p - alpha * g
                for p, g in zip(params, grads, strict=True)
            ]
        return float(of_layers(params, 1) - layer_balance.flow(first, l2, time))

    assert abs(gap(400)) < 5e-3 * abs(first)
    assert gap(400) / gap(800) == pytest.approx(2.0, rel=0.02)  # next order: α


@pytest.mark.parametrize("remaining", [0.5, 1e-3])
def test_the_steps_to_balance_leave_what_was_asked(remaining):
    delta = 0.01
    t = float(layer_balance.steps_to_balance(remaining, delta))
    assert (1 - delta) ** (2 * t) == pytest.approx(remaining, rel=1e-12)
    # Half of those in which a weight shrinks as far.
    assert 2 * t == pytest.approx(np.log(remaining) / np.log(1 - delta), rel=1e-12)


def test_without_decay_the_flow_conserves_the_balance():
    assert float(layer_balance.flow(-1.5, 0.0, 7.0)) == -1.5
