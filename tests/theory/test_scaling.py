"""Rules for the decay against what each of them keeps."""

import numpy as np
import pytest

from wdjax.theory import averaging, scaling
from wdjax.theory.scaling import Scale

OLD = Scale(
    learning_rate=0.01, batch_size=64, examples=2_000, epochs=10, parameters=1e5
)
NEW = Scale(
    learning_rate=0.03, batch_size=256, examples=7_000, epochs=4, parameters=3e5
)
DELTA = 2e-3


def steps(scale):
    return scale.epochs * scale.examples / scale.batch_size


def moved(rule, new=NEW):
    return DELTA * scaling.decay_rate_factor(rule, OLD, new)


@pytest.mark.parametrize(
    ("rule", "peak"), [(scaling.KEEP_OPTAX, 1), (scaling.KEEP_PAPER, 0)]
)
def test_keeping_lambda_keeps_it_in_its_convention(rule, peak):
    """λ = δ/α^a."""
    before = DELTA / OLD.learning_rate**peak
    assert moved(rule) / NEW.learning_rate**peak == pytest.approx(before, rel=1e-12)


def test_keeping_lambda_of_the_squared_convention():
    before = DELTA / OLD.learning_rate**2
    after = moved(scaling.KEEP_SQUARED) / NEW.learning_rate**2
    assert after == pytest.approx(before, rel=1e-12)


def test_the_normalised_coefficient_is_kept():
    def normalised(delta, s):
        return delta / np.sqrt(s.batch_size / (s.examples * s.epochs))

    after = normalised(moved(scaling.NORMALISED), NEW)
    assert after == pytest.approx(normalised(DELTA, OLD), rel=1e-12)


def test_the_timescale_in_epochs_is_kept():
    def timescale(delta, s):
        return averaging.timescale_in_epochs(delta, s.examples / s.batch_size)

    after = timescale(moved(scaling.TIMESCALE), NEW)
    assert after == pytest.approx(timescale(DELTA, OLD), rel=1e-12)


def test_the_budget_is_kept():
    after = averaging.budget(
        moved(scaling.CONSTANT_BUDGET), steps(NEW), averaging.COSINE
    )
    before = averaging.budget(DELTA, steps(OLD), averaging.COSINE)
    # The schedule's first step counts whole: half a step of T.
    assert after == pytest.approx(before, rel=1 / steps(NEW))


def test_power_lines_keep_their_law_of_tokens_per_parameter():
    """b/(Dδ) = c·(D/P)^−0.527."""

    def c(delta, s):
        seen = s.examples * s.epochs
        return s.batch_size / (seen * delta) * (seen / s.parameters) ** 0.527

    after = c(moved(scaling.POWER_LINES), NEW)
    assert after == pytest.approx(c(DELTA, OLD), rel=1e-12)


@pytest.mark.parametrize("rule", [scaling.KEEP_OPTAX, scaling.TIMESCALE])
def test_optaxs_lambda_moves_as_the_rate_by_the_learning_rate(rule):
    lam = DELTA / OLD.learning_rate * scaling.weight_decay_factor(rule, OLD, NEW)
    assert lam * NEW.learning_rate == pytest.approx(moved(rule), rel=1e-12)


def test_a_run_of_the_same_size_keeps_its_decay():
    for rule in (scaling.NORMALISED, scaling.POWER_LINES, scaling.KEEP_SQUARED):
        assert scaling.weight_decay_factor(rule, OLD, OLD) == 1.0
