"""λ from meaning to meaning: numbers by hand, round trips, what the result says."""

import inspect
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wdjax
from tests.inspect.behaviours import BEHAVIOURS
from tests.inspect.conventions import ALPHA, AT, BATCH, CONVENTIONS, SCHEDULED
from wdjax.inspect import MEANINGS, WITHOUT_CONVERSION, Meaning, convert, meaning
from wdjax.inspect.meanings import as_text

unchecked = inspect.unwrap(convert)  # as users call it: no type checks at run time


def value(*args, **changes):
    return float(convert(*args, **(AT | changes)))


BY_HAND = [
    # from, λ, to, what it is; α = 0.02, β = β₁ = 0.9, b/N = 1/30, N·T/b = 150
    ("optax", 0.1, "paper", 0.002),
    ("pytorch:AdamW", 0.1, "paper", 0.002),
    ("paper", 0.002, "keras:Adam", 0.1),
    ("squared", 5.0, "decay_rate", 0.002),
    ("corrected", 0.1, "constant", 0.002),
    ("normalised", 0.03, "paper", 0.03 / math.sqrt(150)),
    ("paper", 0.03 / math.sqrt(150), "keras-adamw", 0.03),
    ("normalised", 0.03, "optax", 0.03 / math.sqrt(150) / 0.02),
    ("optax", 0.1, "timescale:steps", 500.0),
    ("optax", 0.1, "timescale:samples", 16_000.0),
    ("optax", 0.1, "timescale:epochs", 500 / 30),
    ("timescale:epochs", 10.0, "decay_rate", 1 / 300),
    ("decay_rate", 0.5, "half-life:steps", 1.0),
    ("decay_rate", 0.75, "half-life:steps", 0.5),
    ("half-life:epochs", 1 / 30, "decay_rate", 0.5),
    ("half-life:steps", 2.0, "decay_rate", 1 - math.sqrt(0.5)),
    ("optax", 0.1, "budget", 0.12),
    ("budget", 0.12, "pytorch:AdamW", 0.1),
    ("keras:L2", 0.05, "pytorch:SGD", 0.1),
    ("pytorch:Adam", 0.1, "keras:L2", 0.05),
    ("pytorch:SGD", 0.05, "decay_rate", 0.01),
    ("pytorch:SGD", 0.05, "keras:SGD", 0.5),
    ("keras:SGD", 0.5, "keras:L2", 0.025),
    ("optax", 0.1, "rotation:adam", math.sqrt(2 * 0.002 * 0.1 / 1.9)),
    ("pytorch:SGD", 0.1, "rotation:sgd", math.sqrt(2 * 0.02 * 0.1 / 1.9)),
    ("rotation:adam", 0.01, "optax:adamw", 1e-4 / 2 * 19 / 0.02),
    ("optax", 0.1, "rms:adam", math.sqrt(0.02 / 0.2)),
    ("rms:adam", 0.5, "optax:adamw", 0.02 / (2 * 0.25)),
    ("l2", 0.1, "norm:sgd", (0.02 * 9 / (2 * 0.1 * 0.1)) ** 0.25),
]


@pytest.mark.parametrize(("source", "lam", "target", "by_hand"), BY_HAND)
def test_a_value_is_that_by_hand(source, lam, target, by_hand):
    assert value(lam, source, target) == pytest.approx(by_hand, rel=1e-13)


def test_plain_sgd_has_alpha_lambda_and_the_naive_number_is_wrong_with_momentum():
    plain = value(0.05, "pytorch:SGD", "decay_rate", momentum=0)
    assert plain == pytest.approx(0.02 * 0.05, rel=1e-14)
    heavy = value(0.05, "pytorch:SGD", "decay_rate")
    assert heavy == pytest.approx(10 * plain, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "factor"), [("timescale:epochs", 4.0), ("normalised", 2.0)]
)
def test_a_timescale_is_linear_in_the_batch_and_normalisation_takes_its_root(
    name, factor
):
    one = value(0.5, name, "paper")
    four = value(0.5, name, "paper", batch_size=4 * BATCH)
    assert four == pytest.approx(factor * one, rel=1e-14)


def test_the_example_of_the_docstring():
    sizes = {"learning_rate": 1e-3, "batch_size": 128, "examples": 50_000}
    tau = convert(0.1, "optax", "timescale:epochs", **sizes).value
    larger = sizes | {"learning_rate": 2e-3, "batch_size": 512}
    again = convert(tau, "timescale:epochs", "optax", **larger)
    assert float(again) == pytest.approx(0.2, rel=1e-14)


ROWS = [
    Meaning(next(r.name for r in MEANINGS if r.measure is measure), measure)
    for measure in dict.fromkeys(row.measure for row in MEANINGS)
]
"""One for each thing that a number can say, whoever says it."""

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@every_row
@settings(max_examples=15, deadline=None)
@given(delta=st.floats(1e-9, 0.5))
def test_every_leg_has_its_inverse(row, delta):
    there = convert(delta, "decay_rate", row, **AT)
    back = convert(float(there), row, "decay_rate", **AT)
    assert float(back) == pytest.approx(delta, rel=1e-13)  # a dozen roundings
    assert back.exactness == there.exactness


def round_trip(lam, here, there, at):
    """Of the value; None where nothing says how the decay follows the schedule."""
    try:
        gone = convert(lam, here, there, **at)
    except ValueError as error:
        if not str(error).startswith("Neither"):
            raise
        return None
    back = convert(float(gone), there, here, **at)
    assert back.exactness == gone.exactness
    return float(back)


@every_row
@pytest.mark.parametrize("at", [AT, SCHEDULED], ids=["constant", "scheduled"])
def test_every_pair_makes_the_round_trip(row, at):
    lam = float(convert(1e-3, "paper", row, **at))
    ends = {there: round_trip(lam, row, there, at) for there in ROWS}
    for there, end in ends.items():
        pair, vague = {row.name, there.name}, {row, there} - FOLLOWING == {row, there}
        if "budget" in pair and len(pair) > 1 and vague and at is SCHEDULED:
            assert end is None
        else:
            assert end == pytest.approx(lam, rel=1e-12)


FOLLOWING = {row for row in ROWS if row.measure.exponent is not None}


@pytest.mark.parametrize("between", ["decay_rate", "half-life:steps", "l2"])
def test_at_a_constant_rate_every_way_leads_to_the_same_number(between):
    for here, there in itertools.permutations(ROWS, 2):
        lam = float(convert(1e-3, "paper", here, **AT))
        stop = convert(lam, here, between, **AT)
        around = convert(float(stop), between, there, **AT)
        assert float(around) == pytest.approx(value(lam, here, there), rel=1e-11)


EXACTNESS = [
    ("pytorch:AdamW", "paper", "exact"),
    ("keras:L2", "pytorch:Adam", "exact"),
    ("normalised", "paper", "exact"),
    ("optax", "half-life:epochs", "exact"),
    ("pytorch:SGD", "keras:SGD", "asymptotic"),
    ("optax:adamw", "rotation:adam", "asymptotic"),
    ("rms:adam", "rotation:adam", "asymptotic"),
    ("pytorch:SGD", "norm:sgd", "asymptotic"),
]


@pytest.mark.parametrize(("source", "target", "exactness"), EXACTNESS)
def test_a_conversion_holds_as_far_as_its_weaker_leg(source, target, exactness):
    lam = 1.0 if source == "rms:adam" else 1e-3
    assert convert(lam, source, target, **AT).exactness == exactness


def test_a_heuristic_is_weaker_than_a_limit():
    converted = convert(0.01, "constant", "pytorch:SGD", **SCHEDULED)
    assert converted.exactness == "heuristic"
    assert "fixed point" in converted.because


def test_momentum_that_is_not_known_to_be_zero_makes_no_exact_conversion():
    def with_momentum(beta):
        return convert(0.1, "l2", "paper", learning_rate=ALPHA, momentum=beta)

    traced = jax.jit(with_momentum)(0.0)
    assert traced.exactness == "asymptotic"
    assert with_momentum(jnp.array(0.0)).exactness == "exact"
    assert float(traced) == pytest.approx(float(with_momentum(0)), rel=1e-14)


CONDITIONS = [
    ("optax", "rotation:adam", "scale-invariant"),
    ("optax", "corrected", "At a constant learning rate"),
    ("normalised", "paper", "rule of thumb"),
    ("optax", "paper", "same fraction of θ in every step"),
    ("keras:L2", "pytorch:Adam", "same penalty"),
]


@pytest.mark.parametrize(("source", "target", "words"), CONDITIONS)
def test_the_sentence_says_under_which_condition(source, target, words):
    because = convert(1e-3, source, target, **AT).because
    assert words in because
    for name in (source, target):
        assert f"{name} is {meaning(name).measure.formula}" in because


def test_the_result_is_a_number_with_a_sentence():
    converted = convert(0.1, "optax", "paper", learning_rate=1e-3)
    assert float(converted) == converted.value == pytest.approx(1e-4)
    assert isinstance(converted.value, float)
    assert f"{converted:.1e}" == "1.0e-04"
    assert f"{converted}" == str(converted)
    assert str(converted).startswith("0.0001 (exact: optax is δ_t = λ·α·η_t; paper is")


@every_row
def test_everything_but_the_meanings_may_be_traced(row):
    result = jax.jit(lambda lam, at: convert(lam, "optax", row, **at))(0.1, AT)
    assert result.exactness == convert(0.1, "optax", row, **AT).exactness
    assert float(result) == pytest.approx(value(0.1, "optax", row), rel=1e-12)


def test_a_grid_of_values_is_vmapped():
    lams = jnp.array([0.1, 0.2, 0.4])
    at = {"learning_rate": ALPHA}
    grid = jax.vmap(lambda lam: convert(lam, "optax", "half-life:steps", **at))(lams)
    by_hand = np.log(2) / -np.log1p(-ALPHA * np.array([0.1, 0.2, 0.4]))
    np.testing.assert_allclose(grid.value, by_hand, rtol=1e-14)
    assert grid.exactness == "exact"
    with pytest.raises(ValueError, match="vmap over it"):
        unchecked(lams, "optax", "paper", **at)


def test_a_schedule_inside_a_program():
    result = jax.jit(lambda lam: convert(lam, "optax", "corrected", **SCHEDULED))(0.5)
    outside = convert(0.5, "optax", "corrected", **SCHEDULED)
    assert float(result) == pytest.approx(float(outside), rel=1e-13)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.int32])
def test_a_narrow_number_is_widened(dtype):
    lam = jnp.asarray(2.0, dtype)
    at = {"learning_rate": jnp.asarray(0.25, dtype=jnp.bfloat16)}
    converted = convert(lam, "optax", "half-life:steps", **at)
    assert converted.value.dtype == jnp.float64
    assert float(converted) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_narrow_setting_is_widened(dtype):
    rate, beta = jnp.asarray(0.3, dtype), jnp.asarray(0.9, dtype)
    at = {"learning_rate": rate, "momentum": beta}
    by_hand = float(rate) * 0.01 / (1 - float(beta))
    lam = convert(0.01, "l2", "constant", **at)
    assert float(lam) == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize("name", [row.name for row in MEANINGS])
def test_every_name_is_found_in_capitals_or_not(name):
    row = meaning(name)
    assert row.name == name
    assert meaning(name.upper()) is row
    assert meaning(row) is row


def test_names_are_told_apart_without_capitals():
    assert len({row.name.lower() for row in MEANINGS}) == len(MEANINGS)
    assert not {row.name.lower() for row in MEANINGS} & set(WITHOUT_CONVERSION)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_is_its_name(name):
    convention, _, _ = CONVENTIONS[name]
    assert meaning(convention).measure is meaning(name).measure
    assert value(0.01, convention, "decay_rate") == value(0.01, name, "decay_rate")


def test_any_exponents_make_a_meaning():
    half = wdjax.Convention(0.5, 1)
    assert value(0.1, half, "paper") == pytest.approx(0.1 * ALPHA**0.5, rel=1e-14)
    assert "Convention(peak=0.5, schedule=1)" in str(convert(0.1, half, "paper", **AT))


def test_the_same_meaning_needs_no_settings():
    assert convert(0.1, "pytorch:AdamW", "optax:adamw").value == 0.1
    assert convert(0.1, wdjax.OPTAX, wdjax.Convention(1.0, 1.0)).value == 0.1
    assert convert(0.1, "keras:L2", "pytorch:Adam").value == 0.2


def test_the_table_has_every_name_and_every_setting():
    text = as_text()
    for name in (*(row.name for row in MEANINGS), *WITHOUT_CONVERSION):
        assert name in text
    assert max(map(len, text.splitlines())) <= 88


OURS = {
    row.name: getattr(wdjax, row.name.removeprefix("wdjax:"))
    for row in MEANINGS
    if row.name.startswith("wdjax:") and row.measure.hub == "decay"
}
THEIRS = {
    f"optax:{row.name.split('.')[-1]}": row.make
    for row in BEHAVIOURS
    if row.kind == "decoupled"
}
RUN = {row.name: (OURS | THEIRS).get(row.name) for row in MEANINGS}
RUN = {name: make for name, make in RUN.items() if make is not None}


@pytest.mark.parametrize(("name", "make"), RUN.items(), ids=RUN)
def test_a_name_is_what_its_optimizer_does(name, make):
    """Without a gradient a step removes δ; Adafactor's root of 0 is no number."""
    params = {"kernel": jnp.full((3, 2), 0.7)}
    gradient = jax.tree.map(lambda p: 1e-30 * jnp.ones_like(p), params)
    step = {}
    for lam in (0.0, 0.3):
        optimizer = make(ALPHA, lam)
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        step[lam] = updates["kernel"]
    delta = value(0.3, name, "decay_rate")
    # Both are sums with the same step, which may be 1,000 times δθ.
    np.testing.assert_allclose(step[0.3] - step[0.0], -delta * 0.7, rtol=1e-10)


def test_the_names_that_run_are_those_that_the_libraries_have():
    names = {row.name for row in MEANINGS if row.measure.hub == "decay"}
    assert {n for n in names if n.startswith(("optax:", "wdjax:"))} == set(RUN)


LABELS = {
    "pytorch:SGD": "penalty",
    "pytorch:Adam": "penalty",
    "pytorch:RMSprop": "penalty",
    "keras:Adam": "decay",
    "keras:SGD": "decay",
    "wdjax:adam_l2": "penalty",
    "wdjax:adamw": "decay",
}


@pytest.mark.parametrize(("name", "hub"), LABELS.items())
def test_a_library_s_weight_decay_is_where_it_enters(name, hub):
    """Of torch's Adam it is a penalty, of Keras' Adam it is decoupled."""
    assert meaning(name).measure.hub == hub
