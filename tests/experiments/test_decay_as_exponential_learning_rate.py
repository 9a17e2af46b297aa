"""Decay as a growing learning rate: verdicts, and predictions that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import decay_as_exponential_learning_rate as experiment
from experiments.harness.workspace import Workspace
from wdjax.stats import Verdict

CONFIG = experiment.SMOKE
SAME = {
    "sgd": "SGD with decay is SGD at α(1−αλ)^−(2t+1).",
    "heavy_ball": "Momentum with decay is so too, with β(1−αλ).",
    "penalised": "Momentum with L2 is so too, at αc^−(2t+1), with β.",
    "adam": "AdamW is Adam at α(1−αλ)^−t, β₁(1−αλ), β₂(1−αλ)².",
}
OTHER = {
    "heavy_ball_untimed": "With β as it was, momentum is another run.",
    "adam_untimed": "With β₁ and β₂ as they were, Adam is another run.",
}


@pytest.fixture(scope="module")
def predictions():
    return experiment.predict(CONFIG)


@pytest.fixture(scope="module")
def measured(predictions):
    return experiment.measure(CONFIG, predictions)


def failed(measured):
    findings = experiment.judge(CONFIG, measured)
    return [f.claim for f in findings if f.verdict is not Verdict.PASS]


def test_every_sentence_passes_and_the_figure_is_written(
    tmp_path, monkeypatch, measured
):
    monkeypatch.setattr(experiment, "measure", lambda *_: measured)
    with jax.enable_x64(False):  # float64 wherever it is called from
        findings, _ = experiment.run(CONFIG, Workspace(tmp_path, [].append))
        assert jnp.ones(()).dtype == np.float32
    assert [finding.verdict for finding in findings] == [Verdict.PASS] * 7
    stem = "decay_as_exponential_learning_rate"
    assert {f.name for f in tmp_path.iterdir()} == {f"{stem}.svg", f"{stem}.png"}


@pytest.mark.parametrize("pair", SAME)
def test_three_times_the_tolerance_fails_what_should_be_the_same(measured, pair):
    gaps = np.full_like(measured.sgd.gaps, 0.0)
    gaps[-1, 7] = 3e-8  # one seed, one step
    wrong = getattr(measured, pair)._replace(gaps=gaps)
    assert failed(measured._replace(**{pair: wrong})) == [SAME[pair]]


@pytest.mark.parametrize("pair", OTHER)
def test_a_third_of_the_distance_fails_what_should_be_another_run(measured, pair):
    """In one seed alone: each must be another run."""
    gaps = np.array(getattr(measured, pair).gaps)
    gaps[0] = 1e-3 / 3
    wrong = getattr(measured, pair)._replace(gaps=gaps)
    assert failed(measured._replace(**{pair: wrong})) == [OTHER[pair]]


def test_a_weight_with_a_scale_fails(measured):
    assert failed(measured._replace(scaling=3e-8)) == [
        "Every weight is scale-invariant: by 4, no logit changes."
    ]


def test_a_run_that_diverged_does_not_pass(measured):
    wrong = measured.sgd._replace(gaps=measured.sgd.gaps * np.nan)
    assert failed(measured._replace(sgd=wrong)) == [SAME["sgd"]]


def test_wrong_exponents_are_told_from_right_ones(predictions):
    """A learning rate that is off by one step of decay, ε_t by one, a wrong start."""
    rho = 1 - CONFIG.decay_rate
    p = predictions
    wrong = p._replace(
        sgd=p.sgd._replace(learning_rate=p.sgd.learning_rate * rho),
        heavy_ball=p.heavy_ball._replace(momentum=p.heavy_ball.momentum * rho),
        buffer=0.0,
        adam=p.adam._replace(eps=p.adam.eps * rho),
    )
    assert set(SAME.values()) <= set(failed(experiment.measure(CONFIG, wrong)))


def test_the_learning_rates_are_those_of_the_claim(predictions):
    t, delta = np.arange(CONFIG.num_steps), CONFIG.decay_rate
    growth = predictions.sgd.learning_rate / CONFIG.learning_rate
    np.testing.assert_allclose(growth, (1 - delta) ** -(2 * t + 1.0), rtol=1e-12)
    growth = predictions.adam.learning_rate / CONFIG.adam_learning_rate
    np.testing.assert_allclose(growth, (1 - delta) ** -(t + 1.0), rtol=1e-12)
    np.testing.assert_allclose(predictions.adam.b2, CONFIG.b2 * (1 - delta) ** 2)
