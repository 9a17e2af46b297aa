"""Multipliers by their formulas, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep


def values(multiplier, steps):
    return np.asarray(jax.jit(jax.vmap(multiplier))(jnp.arange(steps)))


def test_a_warm_up_rises_in_equal_steps_to_what_follows():
    eta = values(sweep.warm_up(4, sweep.cosine(10)), 14)
    np.testing.assert_allclose(eta[:5], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
    t = np.arange(10)
    # Optax's cosine is float32.
    np.testing.assert_allclose(
        eta[4:], 0.5 * (1 + np.cos(np.pi * t / 10)), atol=1e-7, rtol=1e-6
    )


def test_a_warm_up_goes_to_what_follows_at_its_first_step():
    eta = values(sweep.warm_up(3, lambda t: 0.5 + 0.0 * t), 6)
    np.testing.assert_allclose(eta, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_without_steps_a_warm_up_is_what_follows():
    eta = values(sweep.warm_up(0, sweep.cosine(10)), 10)
    np.testing.assert_array_equal(eta, values(sweep.cosine(10), 10))


@pytest.mark.parametrize(("T_0", "T_mult"), [(10, 1), (10, 2), (7, 3), (1, 2)])
def test_restarts_follow_the_paper_s_loop(T_0, T_mult):
    expected, T_cur, T_i = [], 0, T_0
    for _ in range(100):
        expected.append(0.5 * (1 + np.cos(np.pi * T_cur / T_i)))
        T_cur += 1
        if T_cur == T_i:
            T_cur, T_i = 0, T_i * T_mult
    eta = values(sweep.warm_restarts(100, T_0, T_mult), 100)
    np.testing.assert_allclose(eta, expected, atol=1e-12)


def test_restarts_are_pytorch_s():
    torch = pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weights], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2)
    expected = []
    for _ in range(60):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    eta = values(sweep.warm_restarts(60, 5, 2), 60)
    np.testing.assert_allclose(eta, expected, atol=1e-12)


@pytest.mark.parametrize("steps", [70, 66, 100])
def test_a_run_with_restarts_ends_with_its_third_cycle(steps):
    eta = values(sweep.SCHEDULES["warm_restarts"](steps), steps)
    T_0 = -(-steps // 7)
    assert list(np.flatnonzero(eta == 1)) == [0, T_0, 3 * T_0]
    assert eta[-1] < 0.05


def test_after_the_run_there_are_no_more_restarts():
    multiplier = sweep.warm_restarts(70)
    np.testing.assert_array_equal([multiplier(t) for t in (70, 75, 1000)], 0)


def test_a_warm_up_takes_a_twentieth_of_the_run_and_the_cosine_the_rest():
    eta = values(sweep.SCHEDULES["warm_up_cosine"](200), 201)
    np.testing.assert_allclose(eta[:11], np.arange(1, 12) / 11, rtol=1e-6)
    np.testing.assert_allclose(eta[105], 0.5, rtol=1e-6)
    np.testing.assert_allclose(eta[200], 0, atol=1e-7)


@pytest.mark.parametrize("name", sweep.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 19, 400])
def test_every_schedule_stays_between_0_and_1(name, steps):
    eta = values(sweep.SCHEDULES[name](steps), steps)
    assert eta.shape == (steps,)
    assert np.all((eta > 0) & (eta <= 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sweep.warm_up(-1, sweep.cosine(10)), "steps is -1"),
        (lambda: sweep.warm_restarts(0), "steps is 0; it must be at least 1"),
        (lambda: sweep.warm_restarts(10, 0), "T_0 is 0; it must be at least 1"),
        (lambda: sweep.warm_restarts(10, 2, 0), "T_mult is 0; it must be at least 1"),
        (lambda: sweep.warm_restarts(10, None, 0), "T_mult is 0"),
    ],
)
def test_settings_below_their_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
