"""Loshchilov & Hutter's Algorithms 1 and 2, line by line, both colours.

The letters are the paper's: α, β₁, β₂, ε, λ; η_t is the schedule's multiplier. What is
pink (L2, line 6) and what is green (decay, the last line) is switched by its own λ.

References:
    Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, 2019, Algorithms 1
    and 2; *SGDR: Stochastic Gradient Descent with Warm Restarts*, 2017, eq. (5).
"""

import jax.numpy as jnp
import numpy as np
import pytest

import wdjax
from tests.parity.ours import ATOL, assert_decay_shows, trajectory
from tests.parity.problem import (
    B1,
    B2,
    EPS,
    LAM,
    MOMENTUM,
    RATES,
    SHIFTS,
    STEPS,
    THETA,
    flat,
    gradient,
)
from wdjax import optimizers

ALPHA = 0.05
PAPER = {"convention": wdjax.PAPER, "peak_learning_rate": ALPHA}
DECAY = 0.02  # λ of the green line: not multiplied by α
ADAM = {"b1": B1, "b2": B2, "eps": EPS}


def warm_restarts(first):
    """Periods T_i = first·2ⁱ: for each step the position T_cur in it, and T_i."""
    current, period = [], first
    while len(current) < STEPS:
        current += [(t, period) for t in range(period)]
        period *= 2
    return np.array(current[:STEPS]).T


T_CUR, T_I = warm_restarts(first=8)
MULTIPLIERS = {
    "constant": np.ones(STEPS),
    "cosine": RATES / ALPHA,
    "warm restarts": 0.5 + 0.5 * np.cos(np.pi * T_CUR / T_I),
}
schedules = pytest.mark.parametrize("schedule", MULTIPLIERS)


def algorithm_1(eta, pink, green):
    """SGD with momentum; ``green`` holds one λ for each step."""
    theta, m, path = flat(THETA.values()), 0.0, []
    for t in range(STEPS):
        g = gradient(theta, SHIFTS[t]) + pink * theta  # line 6
        m = MOMENTUM * m + eta[t] * ALPHA * g  # line 8
        theta = theta - m - eta[t] * green[t] * theta  # line 9
        path.append(theta)
    return np.array(path)


def algorithm_2(eta, pink, green):
    """Adam; ``green`` holds one λ for each step."""
    theta, m, v, path = flat(THETA.values()), 0.0, 0.0, []
    for t in range(1, STEPS + 1):
        g = gradient(theta, SHIFTS[t - 1]) + pink * theta  # line 6
        m = B1 * m + (1 - B1) * g  # line 7
        v = B2 * v + (1 - B2) * g**2  # line 8
        m_hat = m / (1 - B1**t)  # line 9
        v_hat = v / (1 - B2**t)  # line 10
        theta = theta - eta[t - 1] * (
            ALPHA * m_hat / (np.sqrt(v_hat) + EPS) + green[t - 1] * theta
        )  # line 12
        path.append(theta)
    return np.array(path)


def table(values):
    """A schedule that reads a float64 table."""
    return lambda t: jnp.asarray(values)[t]


def assert_is(optimizer, algorithm, eta, *, pink=0.0, green=None):
    green = np.zeros(STEPS) if green is None else green
    theirs = algorithm(eta, pink, green)
    assert_decay_shows((algorithm(eta, 0.0, np.zeros(STEPS)), theirs))
    path = trajectory(optimizer)
    ours = np.concatenate([path[k].reshape(STEPS, -1) for k in THETA], axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=ATOL)


@schedules
def test_sgd_l2_velocity_is_algorithm_1_pink(schedule):
    eta = MULTIPLIERS[schedule]
    ours = optimizers.sgd_l2_velocity(table(ALPHA * eta), LAM, momentum=MOMENTUM)
    assert_is(ours, algorithm_1, eta, pink=LAM)


@schedules
def test_sgdw_velocity_is_algorithm_1_green(schedule):
    eta = MULTIPLIERS[schedule]
    ours = optimizers.sgdw_velocity(
        table(ALPHA * eta), DECAY, momentum=MOMENTUM, **PAPER
    )
    assert_is(ours, algorithm_1, eta, green=np.full(STEPS, DECAY))


@schedules
def test_adam_l2_is_algorithm_2_pink(schedule):
    eta = MULTIPLIERS[schedule]
    ours = optimizers.adam_l2(table(ALPHA * eta), LAM, **ADAM)
    assert_is(ours, algorithm_2, eta, pink=LAM)


@schedules
def test_adamw_is_algorithm_2_green(schedule):
    eta = MULTIPLIERS[schedule]
    ours = optimizers.adamw(table(ALPHA * eta), DECAY, **ADAM, **PAPER)
    assert_is(ours, algorithm_2, eta, green=np.full(STEPS, DECAY))


def test_adamwr_normalises_decay_by_the_current_restart():
    """λ = λ_norm √(b/(B·T_i)), appendix: with warm restarts T_i is the current one.

    B examples, b a batch, T_i epochs: B·T_i/b is the number of its steps.
    """
    eta, lam = MULTIPLIERS["warm restarts"], 0.1 / np.sqrt(T_I)
    assert len(set(lam)) == 3
    normalised = wdjax.rate.normalised(0.1, [8, 16, 32])
    ours = optimizers.adamw(table(ALPHA * eta), normalised, **ADAM, **PAPER)
    assert_is(ours, algorithm_2, eta, green=lam)


def test_under_a_schedule_sgdw_is_not_algorithm_1():
    """The learning rate inside the momentum or outside: equal only at a constant."""
    for schedule, distance in (("constant", 0.0), ("warm restarts", 0.1)):
        eta = MULTIPLIERS[schedule]
        outside, inside = (
            make(table(ALPHA * eta), DECAY, momentum=MOMENTUM, **PAPER)
            for make in (optimizers.sgdw, optimizers.sgdw_velocity)
        )
        a, b = trajectory(outside), trajectory(inside)
        gap = max(np.abs(a[k] - b[k]).max() for k in THETA)
        assert gap < ATOL if distance == 0 else gap > distance
