"""The five conventions, against δ_t = λ·α^a·η_t^b written out one by one."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wdjax

LAM, ALPHA = 0.3, 0.02
# η_t by hand: four steps of warm-up from 0, then a cosine to 0 over eight.
ETA = np.concatenate([np.arange(4) / 4, 0.5 * (1 + np.cos(np.pi * np.arange(9) / 8))])

BY_HAND = {
    "OPTAX": (wdjax.OPTAX, LAM * (ALPHA * ETA)),
    "PYTORCH": (wdjax.PYTORCH, LAM * (ALPHA * ETA)),
    "PAPER": (wdjax.PAPER, LAM * ETA),
    "CONSTANT": (wdjax.CONSTANT, LAM * np.ones(13)),
    "CORRECTED": (wdjax.CORRECTED, LAM * (ALPHA * ETA) ** 2 / ALPHA),
    "SQUARED": (wdjax.SQUARED, LAM * (ALPHA * ETA) ** 2),
}
NEEDS_PEAK = [wdjax.PAPER, wdjax.CORRECTED]
rates = st.floats(1e-6, 10.0)


def schedule(t):
    return ALPHA * jnp.asarray(ETA)[t]


def over_time(delta):
    return np.array([delta(t) if callable(delta) else delta for t in range(13)])


@pytest.mark.parametrize("name", BY_HAND)
def test_decay_rate_is_the_formula_by_hand(name):
    convention, expected = BY_HAND[name]
    delta = wdjax.decay_rate(LAM, schedule, convention, peak_learning_rate=ALPHA)
    # Three or four products and quotients, each rounded once.
    np.testing.assert_allclose(over_time(delta), expected, rtol=1e-14)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_peak_is_used_also_when_the_rate_arrives_as_an_array(name):
    convention, expected = BY_HAND[name]
    delta = [
        wdjax.decay_rate(LAM, a, convention, peak_learning_rate=ALPHA)
        for a in ALPHA * jnp.asarray(ETA)
    ]
    np.testing.assert_allclose(delta, expected, rtol=1e-14)


def test_a_peak_is_used_where_the_rate_is_a_python_number():
    half = wdjax.decay_rate(LAM, ALPHA / 2, wdjax.PAPER, peak_learning_rate=ALPHA)
    assert half == pytest.approx(LAM / 2, rel=1e-14)


def test_optax_needs_no_peak_and_ignores_none():
    bare = wdjax.decay_rate(LAM, schedule)
    given_ = wdjax.decay_rate(LAM, schedule, peak_learning_rate=ALPHA)
    np.testing.assert_array_equal(over_time(bare), over_time(given_))


def test_warm_up_from_zero_is_never_nan():
    """λ = λ'/α_t is 0/0 at step 0; the peak in its place is not."""
    for convention, _ in BY_HAND.values():
        delta = wdjax.decay_rate(LAM, schedule, convention, peak_learning_rate=ALPHA)
        assert np.isfinite(over_time(delta)).all()
        start = wdjax.decay_rate(LAM, jnp.array(0.0), convention)
        assert np.isfinite(start)


def test_no_schedule_is_zero_decay_after_warm_up():
    for convention, expected in BY_HAND.values():
        delta = wdjax.decay_rate(LAM, schedule, convention, peak_learning_rate=ALPHA)
        np.testing.assert_array_equal(over_time(delta) > 0, expected > 0)
        assert (over_time(delta)[1:12] > 0).all()


def test_the_schedule_of_lambda_multiplies():
    lam = optax.linear_schedule(1.0, 0.0, 12)
    delta = wdjax.decay_rate(lam, schedule, wdjax.PAPER, peak_learning_rate=ALPHA)
    expected = (1 - np.arange(13) / 12) * ETA
    # Optax's schedule forms 1 − t/12 its own way: absolute round-off near 0.
    np.testing.assert_allclose(over_time(delta), expected, rtol=1e-14, atol=1e-16)


def test_a_schedule_of_lambda_alone_makes_a_schedule():
    delta = wdjax.decay_rate(optax.linear_schedule(1.0, 0.0, 12), ALPHA)
    np.testing.assert_allclose(
        over_time(delta), ALPHA * (1 - np.arange(13) / 12), atol=1e-17
    )


@settings(max_examples=50, deadline=None)
@given(lam=rates, alpha=rates)
def test_without_a_peak_a_scalar_is_its_own(lam, alpha):
    for convention in (c for c, _ in BY_HAND.values()):
        given_ = wdjax.decay_rate(lam, alpha, convention, peak_learning_rate=alpha)
        bare = wdjax.decay_rate(lam, alpha, convention)
        assert bare == pytest.approx(given_, rel=1e-14)  # a few roundings
        assert bare == pytest.approx(lam * alpha**convention.peak, rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(lam=rates, alpha=rates, peak=rates, a=st.floats(-2, 2), b=st.floats(-2, 2))
def test_any_exponents_make_a_convention(lam, alpha, peak, a, b):
    delta = wdjax.decay_rate(
        lam, alpha, wdjax.Convention(a, b), peak_learning_rate=peak
    )
    # Powers of rounded exponents: |log base| · ε, a few times.
    assert delta == pytest.approx(lam * peak**a * (alpha / peak) ** b, rel=1e-12)


def test_a_traced_rate_takes_the_same_path():
    def delta(lam, alpha, peak):
        return [
            wdjax.decay_rate(lam, alpha, c, peak_learning_rate=peak)
            for c, _ in BY_HAND.values()
        ]

    traced = jax.jit(delta)(LAM, ALPHA / 3, ALPHA)
    np.testing.assert_allclose(traced, delta(LAM, ALPHA / 3, ALPHA), rtol=1e-14)


def test_an_integer_peak_is_a_number_like_any_other():
    """Integer arrays have no negative powers, and the peak's exponent may be −1."""
    delta = wdjax.decay_rate(LAM, 0.5, wdjax.PAPER, peak_learning_rate=jnp.array(2))
    assert delta == pytest.approx(LAM / 4, rel=1e-14)


def test_without_a_learning_rate_in_it_the_rate_is_known_before_the_run():
    """So that a senseless λ is refused also where α is traced."""

    def init(alpha):
        return wdjax.adamw(alpha, 1.5, convention=wdjax.CONSTANT).init(jnp.ones(2))

    with pytest.raises(ValueError, match=r"is 1\.5; .*at most 1"):
        jax.eval_shape(init, 0.1)


@pytest.mark.parametrize("convention", NEEDS_PEAK)
def test_a_schedule_without_its_peak_asks_for_it_by_name(convention):
    with pytest.raises(ValueError, match=r"needs its peak: give peak_learning_rate="):
        wdjax.decay_rate(LAM, schedule, convention)


@pytest.mark.parametrize(
    "make", [wdjax.sgdw, wdjax.adamw], ids=lambda make: make.__name__
)
def test_a_chain_without_its_peak_asks_for_it_by_name(make):
    with pytest.raises(ValueError, match=r"peak=0, schedule=1\) needs its peak"):
        make(schedule, LAM, convention=wdjax.PAPER)


@pytest.mark.parametrize("bad", [-0.1, jnp.array(-0.1), np.inf, np.nan])
def test_a_bad_rate_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"weight_decay is (-0\.1|inf|nan); it must"):
        wdjax.decay_rate(bad, ALPHA)
    with pytest.raises(ValueError, match=r"learning_rate is (-0\.1|inf|nan); it must"):
        wdjax.decay_rate(LAM, bad)
    with pytest.raises(ValueError, match=r"peak_learning_rate is (-0\.1|inf|nan)"):
        wdjax.decay_rate(LAM, ALPHA, peak_learning_rate=bad)


@pytest.mark.parametrize("zero", [0, 0.0, jnp.array(0.0)])
def test_a_peak_of_zero_is_refused(zero):
    with pytest.raises(ValueError, match="peak_learning_rate is 0; it must be larger"):
        wdjax.decay_rate(LAM, ALPHA, peak_learning_rate=zero)


def test_optax_and_pytorch_are_one_convention():
    assert wdjax.OPTAX is wdjax.PYTORCH
    assert len({wdjax.OPTAX, wdjax.PAPER, wdjax.CONSTANT}) == 3


@pytest.mark.parametrize("convention", ["paper", (0, 1), None])
def test_a_convention_that_is_none_is_refused_by_value(convention):
    as_users_call_it = inspect.unwrap(wdjax.decay_rate)  # no type checks at run time
    with pytest.raises(ValueError, match=r"convention is .*wdjax\.PAPER"):
        as_users_call_it(0.1, 0.1, convention)


@pytest.mark.parametrize(
    "narrow", [jnp.bfloat16, jnp.float32], ids=lambda d: d.__name__
)
def test_a_narrow_rate_is_widened_before_the_product(narrow):
    """Each of the three, alone: the product is formed in float64."""
    values = {"weight_decay": 0.3, "learning_rate": 0.7, "peak_learning_rate": 0.9}
    for name, value in values.items():
        given_ = values | {name: jnp.asarray(value, narrow)}
        lam, alpha, peak = map(float, given_.values())
        delta = wdjax.decay_rate(convention=wdjax.Convention(1, 3), **given_)
        assert delta.dtype == jnp.float64
        # δ = λα(α_t/α)³: a dozen roundings in float64, none in the narrow type.
        assert float(delta) == pytest.approx(
            lam * peak * (alpha / peak) ** 3, rel=1e-14
        )
