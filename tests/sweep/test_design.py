"""Designs are SciPy's sequences through inverse distributions."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.stats import qmc

from wdjax import sweep
from wdjax.sweep.ranges import LogUniform, Uniform, check_ranges

RATE, DECAY = LogUniform(1e-4, 1e-1), Uniform(-1.0, 3.0)
ORACLES = {
    "sobol": lambda n: qmc.Sobol(2, scramble=True, rng=5).random(n),
    "halton": lambda n: qmc.Halton(2, scramble=True, rng=5).random(n),
    "random": lambda n: np.random.default_rng(5).random((n, 2)),
}


def rate_below(x):
    """The distribution of RATE, in closed form."""
    return np.log(x / 1e-4) / np.log(1e3)


def decay_below(x):
    """The distribution of DECAY, in closed form."""
    return (x + 1) / 4


def box(points, method, **options):
    ranges = {"learning_rate": RATE, "decay": DECAY}
    return sweep.design([0, 1], points, method=method, **ranges, **options)


@pytest.mark.parametrize("method", ORACLES)
def test_a_design_is_scipys_sequence_through_scipys_quantiles(method):
    h = box(32, method, scramble=5).hypers
    u = ORACLES[method](32)
    log_uniform = scipy.stats.loguniform(1e-4, 1e-1).ppf(u[:, 0])
    uniform = scipy.stats.uniform(-1.0, 4.0).ppf(u[:, 1])
    # Two ways to an exponential: rounding.
    np.testing.assert_allclose(h["learning_rate"], log_uniform, rtol=1e-13)
    np.testing.assert_allclose(h["decay"], uniform, rtol=1e-13, atol=1e-15)


def test_quantiles_at_the_ends_and_in_the_middle():
    u = np.array([0.0, 0.5, 1.0])
    np.testing.assert_array_equal(DECAY.quantile(u), [-1.0, 1.0, 3.0])
    geometric = [1e-4, np.sqrt(1e-4 * 1e-1), 1e-1]
    np.testing.assert_allclose(RATE.quantile(u), geometric, rtol=1e-14)
    for given in (DECAY, RATE, LogUniform(0.1, 0.3)):  # rounding leaves no range
        values = given.quantile(np.linspace(0, 1, 101))
        assert given.low <= values.min() <= values.max() <= given.high


@pytest.mark.parametrize("method", ORACLES)
def test_the_marginals_are_those_of_the_ranges(method):
    """Kolmogorov–Smirnov against closed forms; for even designs it is conservative."""
    h = box(1024, method).hypers
    rate = scipy.stats.kstest(
        h["learning_rate"], lambda x: np.log(x / 1e-4) / np.log(1e3)
    )
    decay = scipy.stats.kstest(h["decay"], lambda x: (x + 1) / 4)
    assert min(rate.pvalue, decay.pvalue) > 0.01
    if method != "random":
        # Of n even points, the distribution is off by a few 1/n, not by 1/√n.
        assert max(rate.statistic, decay.statistic) < 10 / 1024


def test_sobol_points_are_one_to_a_slice():
    h = box(64, "sobol").hypers
    u = np.stack(
        [np.log(h["learning_rate"] / 1e-4) / np.log(1e3), (h["decay"] + 1) / 4]
    )
    for along_an_axis in u:
        slices = np.floor(64 * along_an_axis).astype(int)
        assert sorted(slices) == list(range(64))


@pytest.mark.parametrize("method", ORACLES)
def test_a_design_is_a_function_of_its_arguments(method):
    first, second, other = (box(16, method, scramble=s).hypers for s in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first[name], other[name])


def test_a_design_runs():
    plan = box(8, "sobol")
    result = sweep.run(
        lambda data, h, key: {"product": data * h["decay"] * h["learning_rate"]},
        plan,
        jnp.ones(()),
    )
    assert dict(result.sizes) == {"seed": 2, "point": 8}
    by_hand = plan.hypers["decay"] * plan.hypers["learning_rate"]
    np.testing.assert_allclose(result["product"][1], by_hand, rtol=1e-15)


def test_an_unbalanced_number_of_sobol_points_is_warned_of():
    with pytest.warns(UserWarning, match="points is 20, .* take 16 or 32, or"):
        twenty = box(20, "sobol")
    whole = box(32, "sobol")
    for name, values in whole.hypers.items():
        np.testing.assert_array_equal(twenty.hypers[name], values[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        box(1, "sobol")
        box(20, "halton")


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "no range to search; give one"),
        ({"a": Uniform(0.0, np.inf)}, "ends must be finite"),
        ({"a": LogUniform(np.nan, 1.0)}, "ends must be finite"),
        ({"a": Uniform(1.0, 1.0)}, "low must be below high"),
        ({"a": LogUniform(1.0, 0.1)}, "low must be below high"),
        ({"a": LogUniform(0.0, 1.0)}, "needs low > 0. Give the least value"),
        ({"point": Uniform(0.0, 1.0)}, "none the name 'point'"),
    ],
)
def test_a_bad_range_is_refused_with_what_to_give(ranges, message):
    with pytest.raises(ValueError, match=message):
        sweep.design([0], 4, **ranges)


def test_what_is_no_range_is_refused_with_what_to_give():
    with pytest.raises(ValueError, match=r"a is \(0.1, 1\); give Uniform\("):
        check_ranges({"a": (0.1, 1)})


@pytest.mark.parametrize(
    ("points", "method", "message"),
    [
        (0, "sobol", "points is 0; it must be at least 1"),
        (4, "grid", r"no method 'grid'; take one of \['sobol', 'halton', 'random'\]"),
    ],
)
def test_a_design_that_cannot_be_is_refused(points, method, message):
    with pytest.raises(ValueError, match=message):
        box(points, method)
