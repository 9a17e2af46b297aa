"""Decay in bfloat16: verdicts, and shares and courses that should not pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import bf16_no_op as experiment
from experiments.harness.workspace import Workspace
from tests.experiments.judging import not_passed
from wdjax.stats import Verdict

CONFIG = experiment.SMOKE
RIGHT = experiment.predict(CONFIG)
MIDDLE = "Between them the share is 1 − log₂(2⁻⁸/δ)."
ENDS = {
    "lost": "θ + bf16(−δθ) moves no weight for δ < 2⁻⁹.",
    "sure": "It moves every weight for δ ≥ 2⁻⁸.",
    "factor_lost": "θ · bf16(1−δ) moves no weight for δ ≤ 2⁻⁹.",
    "factor_sure": "It moves every weight for δ > 2⁻⁹.",
}
RESTORED = {
    "master weights": "Master weights leave (1−δ)^T.",
    "error feedback": "Error feedback leaves (1−δ)^T.",
    "stochastic rounding": "Stochastic rounding leaves (1−δ)^T.",
}


@pytest.fixture(scope="module")
def measured():
    return experiment.measure(CONFIG, RIGHT)


def verdicts(measured, predictions=RIGHT, config=CONFIG):
    return not_passed(experiment.judge(config, predictions, measured))


def test_every_sentence_passes_and_the_figure_is_written(
    tmp_path, monkeypatch, measured
):
    monkeypatch.setattr(experiment, "measure", lambda *_: measured)
    with jax.enable_x64(False):
        findings, _ = experiment.run(CONFIG, Workspace(tmp_path, [].append))
        assert jnp.ones(()).dtype == np.float32
    assert [finding.verdict for finding in findings] == [Verdict.PASS] * 9
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"bf16_no_op.svg", "bf16_no_op.png"}


@pytest.mark.parametrize("end", ENDS)
def test_one_weight_out_of_place_fails_an_end(measured, end):
    shares = np.array(getattr(measured, end))
    shares[1] = np.abs(shares[1] - 1e-5)  # one of 16,384, and less
    wrong = measured._replace(**{end: shares})
    assert verdicts(wrong) == {ENDS[end]: Verdict.FAIL}


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_share_that_is_three_tolerances_away_fails(measured, sign):
    wrong = RIGHT._replace(moved=RIGHT.moved + sign * 0.06)
    assert verdicts(measured, wrong) == {MIDDLE: Verdict.FAIL}


def test_one_bit_more_or_less_fails_the_ends_and_the_middle():
    """The thresholds of float16's bits are not those of bfloat16."""
    wrong = RIGHT._replace(
        lost=RIGHT.lost * 2.1,
        sure=RIGHT.sure / 2.1,
        factor_lost=RIGHT.factor_lost * 2.1,
        factor_sure=RIGHT.factor_sure / 2.1,
        moved=1 - RIGHT.moved,
    )
    config = dataclasses.replace(CONFIG, num_steps=20)
    found = verdicts(experiment.measure(config, wrong), wrong, config)
    assert {MIDDLE, *ENDS.values()} <= set(found)


@pytest.mark.parametrize("form", RESTORED)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_mean_nine_standard_errors_away_fails_its_form(measured, form, sign):
    old = measured.forms[form]
    error = np.std(old.last, ddof=1) / np.sqrt(len(old.last))
    off = sign * 9 * error + RIGHT.left - np.mean(old.last)
    forms = measured.forms | {form: old._replace(last=old.last + off)}
    wrong = measured._replace(forms=forms)
    assert verdicts(wrong) == {RESTORED[form]: Verdict.FAIL}


def test_a_form_that_does_nothing_fails(measured):
    """What bfloat16 alone leaves, in the place of a form."""
    ones = 1 + 1e-6 * np.random.default_rng(0).normal(size=128)
    old = measured.forms["master weights"]
    forms = measured.forms | {"master weights": old._replace(last=ones)}
    wrong = measured._replace(forms=forms)
    assert verdicts(wrong) == {RESTORED["master weights"]: Verdict.FAIL}


def test_weights_that_decay_alone_fail_the_no_op(measured):
    wrong = measured._replace(plain=measured.plain._replace(last=np.array([1.0, 0.99])))
    assert list(verdicts(wrong).values()) == [Verdict.FAIL]


def test_two_seeds_decide_nothing_that_is_random(measured):
    stochastic = measured.forms["stochastic rounding"]._replace(seeds=2)
    few = measured._replace(
        between=measured.between[:2],
        forms=measured.forms | {"stochastic rounding": stochastic},
    )
    assert verdicts(few) == {
        MIDDLE: Verdict.INCONCLUSIVE,
        RESTORED["stochastic rounding"]: Verdict.INCONCLUSIVE,
    }


def test_the_sampled_weights_fill_whole_octaves_evenly():
    theta = np.asarray(experiment.random_weights(CONFIG, 3)).astype(np.float64)
    octaves = np.floor(np.log2(np.abs(theta)))
    counts = np.bincount((octaves + CONFIG.num_octaves).astype(int))[:8]
    expected = CONFIG.num_weights / CONFIG.num_octaves
    # Four standard deviations of a binomial count.
    assert np.abs(counts - expected).max() < 4 * expected**0.5
    assert 0.4 < np.mean(theta > 0) < 0.6
