"""Bad input meets a sentence that names it; what cannot be known yet passes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import PAPER, bound, check, rate, target

GOOD = [0, 0.0, 1, 0.5, True, np.float32(0.5), np.array(0.5), jnp.array(0.5)]
BAD = [
    (-1, "rate is -1; it must be finite and at least 0"),
    (-0.1, "rate is -0.1;"),
    (jnp.array(-0.1), "rate is -0.1;"),
    (np.nan, "rate is nan;"),
    (jnp.inf, "rate is inf;"),
    ("0.1", "rate is '0.1'; it must be a number, an array of shape () or a schedule"),
    (b"0.1", "it must be a number"),
    (None, "rate is None; it must be a number"),
    (1j, "rate is 1j; it must be a number"),
    ({}, "rate is {}; it must be a number"),
    ([0.1, 0.2], "rate has shape (2,); it must be a scalar"),
    (jnp.ones((2, 1)), "rate has shape (2, 1); it must be a scalar"),
]


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_finite_scalars_from_zero_pass(value):
    check.non_negative("rate", value)


@pytest.mark.parametrize(("value", "message"), BAD, ids=lambda v: repr(v)[:12])
def test_anything_else_is_refused_by_name(value, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - read below
        check.non_negative("rate", value)
    assert message in str(error.value)


def test_positive_refuses_zero():
    check.positive("rate", 1e-300)
    with pytest.raises(ValueError, match="rate is 0; it must be larger than 0"):
        check.positive("rate", 0.0)
    with pytest.raises(ValueError, match="rate is -1; it must be finite"):
        check.positive("rate", -1)


def test_a_schedule_of_rates_is_not_looked_at():
    check.non_negative("rate", lambda t: -1.0)
    assert not check.is_concrete(lambda t: 0.0)


S = optax.linear_schedule(0.1, 0.0, 10)
PEAK = "It is the largest value"
NO_SCHEDULE = {
    "a number": (lambda s: check.number("rate", s), "rate", "To change it over"),
    "a positive one": (lambda s: check.positive("rate", s), "rate", "To change it"),
    "a factor": (lambda s: check.below_one("b1", s), "b1", "To change it over"),
    "a loss's penalty": (
        lambda s: wdjax.l2_penalty(jnp.ones(2), s),
        "l2",
        "Give the schedule's value",
    ),
    "the peak": (
        lambda s: wdjax.adamw(s, 0.1, convention=PAPER, peak_learning_rate=s),
        "peak_learning_rate",
        PEAK,
    ),
    "a conversion's peak": (
        lambda s: wdjax.convert(
            0.1, "optax:adamw", "paper", learning_rate=s, peak_learning_rate=s
        ),
        "peak_learning_rate",
        PEAK,
    ),
    "a timescale": (rate.from_timescale, "steps", ""),
    "the end": (lambda s: rate.early(0.1, s), "steps", ""),
    "the beginning": (lambda s: rate.late(0.1, s), "steps", ""),
    "a norm": (target.norm, "target.norm: radius", ""),
    "a start's norm": (target.initial_norm, "target.initial_norm: factor", ""),
    "a mean": (target.average, "target.average: decay", ""),
    "a bound": (bound.fixed, "bound.fixed: kappa", "A bound stays"),
    "a start's bound": (bound.from_start, "bound.from_start: factor", "A bound"),
    "a warm-up": (bound.warm_start, "bound.warm_start: steps", "A bound stays"),
    "an interval": (bound.inflection, "bound.inflection: interval", "A bound stays"),
}


@pytest.mark.parametrize("case", NO_SCHEDULE)
@pytest.mark.usefixtures("untyped")
def test_a_schedule_is_refused_where_only_a_number_has_a_meaning(case):
    call, name, remedy = NO_SCHEDULE[case]
    with pytest.raises(
        ValueError, match=rf"^{name} is the schedule <.*number\. {remedy}"
    ):
        call(S)


@pytest.mark.parametrize("case", ["a number", "a positive one", "a factor", "a mean"])
def test_a_traced_number_is_no_schedule(case):
    call, *_ = NO_SCHEDULE[case]
    jax.jit(lambda value: (call(value), value)[1])(0.5)


def test_a_traced_scalar_passes_and_a_traced_vector_does_not():
    @jax.jit
    def traced(x):
        assert not check.is_concrete(x)
        check.positive("rate", x)
        return x

    traced(-1.0)
    with pytest.raises(ValueError, match=r"rate has shape \(2,\).*vmap over it"):
        traced(jnp.ones(2))
    jax.vmap(traced)(jnp.ones(2))


def test_nearest_suggests_and_lists():
    assert check.nearest("adamm", ["sgd", "adam"]) == (
        "Did you mean 'adam'? Known: sgd, adam."
    )
    assert check.nearest("zzz", ["sgd", "adam"]) == "Known: sgd, adam."


@pytest.mark.parametrize("rate", [1.0001, jnp.asarray(2.0)])
def test_a_fraction_beyond_one_is_refused_with_the_remedy(rate):
    with pytest.raises(ValueError, match=r"decay_rate is .*wdjax\.decay_rate\("):
        wdjax.decay_weights(rate)
    wdjax.decay_weights(1.0)
