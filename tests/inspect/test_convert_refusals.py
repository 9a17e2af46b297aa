"""What cannot be converted, or makes no sense, meets a sentence."""

import inspect
import itertools
import math

import pytest

from tests.inspect.conventions import ALPHA, AT, SCHEDULED, schedule
from wdjax.inspect import MEANINGS, WITHOUT_CONVERSION, convert, meaning

unchecked = inspect.unwrap(convert)  # as users call it: no type checks at run time

REFUSED = {
    ("pytorch:Adam", "pytorch:AdamW"): r"No λ .*Adam rescales.*Proposition 2.*3 has",
    ("l2", "optax:lion"): "Lion rescales each weight's gradient",
    ("pytorch:AdamW", "pytorch:SGD"): "No λ makes pytorch:AdamW and pytorch:SGD",
    ("pytorch:RMSprop", "constant"): "RMSprop rescales",
    ("pytorch:Adam", "rotation:adam"): "one is an L2 penalty, the other decoupled",
    ("optax:adamw", "optax:lion"): r"belongs to Adam, optax:lion to Lion.*'decay_rate'",
    ("pytorch:Adam", "pytorch:SGD"): r"keep the penalty alone, convert to 'l2'",
    ("optax:lion", "rotation:adam"): "belongs to Lion, rotation:adam to Adam",
}


@pytest.mark.parametrize(
    ("pair", "sentence"), REFUSED.items(), ids=lambda p: str(p)[:40]
)
def test_what_has_no_conversion_is_refused_with_the_reason(pair, sentence):
    for one, other in (pair, pair[::-1]):
        with pytest.raises(ValueError, match=r"no λ|No λ"):
            convert(0.1, one, other, **AT)
    with pytest.raises(ValueError, match=sentence):
        convert(0.1, *pair, **AT)


def test_the_way_round_a_refusal_keeps_the_fraction():
    """Lion at a tenth of the rate, ten times the λ: the same fraction removed."""
    delta = convert(0.1, "optax:adamw", "decay_rate", learning_rate=1e-3).value
    lam = convert(delta, "decay_rate", "optax:lion", learning_rate=1e-4)
    assert float(lam) == pytest.approx(1.0, rel=1e-14)


def test_every_pair_of_names_is_refused_both_ways_or_neither():
    """By their places and optimizers; SGD alone has a way across."""
    names = {(row.measure.hub, row.base): row for row in MEANINGS}
    for one, other in itertools.combinations(names.values(), 2):
        bases = {one.base, other.base} - {""}
        crossing = one.measure.hub != other.measure.hub
        fits = bases <= {"SGD"} if crossing else len(bases) < 2
        refused = [not_converted(one, other), not_converted(other, one)]
        assert refused == [not fits] * 2, (one.name, other.name)


def not_converted(source, target):
    try:
        convert(0.01, source, target, **AT)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("name", WITHOUT_CONVERSION)
def test_a_name_without_a_number_is_refused_with_the_reason(name):
    with pytest.raises(
        ValueError, match=r"cannot be converted: (its|it never)"
    ) as error:
        convert(0.1, name, "paper", **AT)
    assert WITHOUT_CONVERSION[name] in str(error.value)


UNKNOWN = {
    "rotation": "Did you mean 'rotation:sgd' or 'rotation:adam'",
    "torch:AdamW": "Did you mean .*'pytorch:AdamW'",
    "adamw": "Did you mean .*'optax:adamw'",
    "zzzz": "is named 'zzzz'. `wdjax convert --list` shows them all",
}


@pytest.mark.parametrize(("name", "sentence"), UNKNOWN.items())
def test_an_unknown_name_gets_the_nearest(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        convert(0.1, name, "paper", **AT)


@pytest.mark.parametrize("sense", [None, (0, 1), 0.1])
def test_what_is_no_meaning_is_refused_by_value(sense):
    with pytest.raises(ValueError, match="is no meaning of weight decay; give a name"):
        unchecked_meaning(sense)


unchecked_meaning = inspect.unwrap(meaning)


MISSING = [
    ("learning_rate", "optax", "paper"),
    ("learning_rate", "l2", "constant"),
    ("momentum", "l2", "constant"),
    ("momentum", "optax", "rotation:sgd"),
    ("b1", "optax", "rotation:adam"),
    ("batch_size", "paper", "timescale:samples"),
    ("examples", "half-life:epochs", "paper"),
    ("epochs", "normalised", "paper"),
    ("steps", "budget", "paper"),
    ("gradient_norm", "paper", "norm:sgd"),
]


@pytest.mark.parametrize(("name", "source", "target"), MISSING)
def test_a_missing_setting_is_asked_for_by_name(name, source, target):
    at = {key: setting for key, setting in AT.items() if key != name}
    with pytest.raises(
        ValueError, match=f"^{name} is needed .*; give {name}=…"
    ) as error:
        convert(0.01, source, target, **at)
    assert f"from {source} to {target}" in str(error.value)


def test_a_schedule_asks_for_its_peak_and_for_steps_where_it_is_summed():
    with pytest.raises(ValueError, match="is a schedule; give peak_learning_rate=…"):
        convert(0.1, "optax", "paper", learning_rate=schedule)
    bare = {"learning_rate": schedule, "peak_learning_rate": ALPHA}
    assert convert(0.1, "optax", "paper", **bare).exactness == "exact"
    with pytest.raises(ValueError, match="steps is needed to convert from optax to co"):
        convert(0.1, "optax", "constant", **bare)
    with pytest.raises(ValueError, match=r"steps is 9\.5; under a schedule .* whole"):
        convert(0.1, "optax", "constant", **bare, steps=9.5)


def test_a_wrong_peak_is_seen_where_the_schedule_is_summed():
    for peak in (ALPHA / 2, 1e-9):
        with pytest.raises(
            ValueError, match=r"reaches at most 0\.02, in step 10 of 60"
        ):
            convert(
                0.1, "optax", "budget", **(SCHEDULED | {"peak_learning_rate": peak})
            )
    with pytest.raises(ValueError, match="reaches at most 0, in step 0 of 1, and"):
        convert(0.1, "optax", "budget", **(SCHEDULED | {"steps": 1}))
    with pytest.raises(
        ValueError, match=r"learning_rate is 0\.02, above peak_learning"
    ):
        convert(0.1, "optax", "paper", learning_rate=0.02, peak_learning_rate=0.01)


def test_a_budget_and_a_timescale_leave_open_how_they_follow_a_schedule():
    with pytest.raises(ValueError, match="Neither timescale:steps nor budget says how"):
        convert(500.0, "timescale:steps", "budget", **SCHEDULED)
    constant = convert(500.0, "timescale:steps", "budget", **AT)
    assert float(constant) == pytest.approx(60 / 500, rel=1e-14)


BAD = {
    "negative": (-0.1, {}, r"weight_decay is -0\.1; it must be finite"),
    "nan": (math.nan, {}, "weight_decay is nan; it must be finite"),
    "infinite": (math.inf, {}, "weight_decay is inf; it must be finite"),
    "a string": ("0.1", {}, r"weight_decay is '0\.1'; it must be a number"),
    "a schedule": (schedule, {}, "weight_decay is the schedule .*convert a number"),
    "rate": (0.1, {"learning_rate": -1.0}, "learning_rate is -1; it must be finite"),
    "no rate": (0.1, {"learning_rate": 0.0}, "learning_rate is 0; it must be larger"),
    "peak": (0.1, {"peak_learning_rate": 0.0}, "peak_learning_rate is 0; it must be"),
    "momentum": (0.1, {"momentum": 1.0}, "momentum is 1; it must be at least 0 and"),
    "b1": (0.1, {"b1": -0.5}, r"b1 is -0\.5; it must be finite"),
    "batch": (0.1, {"batch_size": 0}, "batch_size is 0; it must be larger"),
    "examples": (0.1, {"examples": -2}, "examples is -2; it must be finite"),
    "epochs": (0.1, {"epochs": 0}, "epochs is 0; it must be larger"),
    "steps": (0.1, {"steps": 0}, "steps is 0; it must be larger"),
    "gradient": (0.1, {"gradient_norm": 0}, "gradient_norm is 0; it must be larger"),
    "more than all": (60.0, {}, r"As optax, weight_decay removes 1\.2 of the weights"),
}


@pytest.mark.parametrize(("lam", "changes", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_meets_a_sentence(lam, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        unchecked(lam, "optax", "paper", **(AT | changes))


ENDS = [
    (0.0, "paper", "timescale:steps", "without decay there is no timescale:steps"),
    (0.0, "l2", "half-life:steps", "without decay there is no half-life:steps"),
    (0.0, "constant", "rms:adam", "without decay there is no rms:adam"),
    (0.0, "timescale:steps", "paper", "a timescale:steps, is 0; it must be larger"),
    (1.0, "constant", "half-life:steps", "nothing has a half-life"),
    (0.5, "timescale:steps", "paper", "As timescale:steps, weight_decay removes 2 of"),
    (0.01, "timescale:epochs", "paper", r"removes 3\.33333 of the weights"),
]


@pytest.mark.parametrize(("lam", "source", "target", "sentence"), ENDS)
def test_the_ends_of_the_scale(lam, source, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        convert(lam, source, target, **AT)


def test_a_budget_that_asks_for_more_than_all_at_the_peak_is_refused():
    with pytest.raises(
        ValueError, match=r"As corrected, weight_decay removes 2\.44344 of"
    ):
        convert(0.9, "constant", "corrected", **SCHEDULED)


@pytest.mark.parametrize("name", ["constant", "normalised", "budget", "rotation:adam"])
def test_no_decay_is_no_decay(name):
    for pair in (("optax", name), (name, "optax")):
        assert convert(0.0, *pair, **AT).value == 0.0
