"""The lecture's pictures: their runs, their verdicts and their files."""

import dataclasses

import jax
import matplotlib as mpl
import numpy as np
import pytest

from experiments import lecture_pictures as lecture
from experiments.harness.workspace import Workspace
from wdjax.stats import Verdict

STEM = "lecture_pictures"


@pytest.fixture(scope="module")
def runs():
    config = lecture.SMOKE
    return lecture.make_runs(config, lecture.make_problem(config))


def smoke(out, config=lecture.SMOKE):
    return lecture.run(config, Workspace(out, lambda message: None)).findings


def test_every_sentence_passes_and_both_files_are_written(tmp_path):
    said = []
    findings, _ = lecture.run(lecture.SMOKE, Workspace(tmp_path / "new", said.append))
    assert [finding.verdict for finding in findings] == [Verdict.PASS] * 8
    assert said
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        f"{STEM}.svg",
        f"{STEM}.png",
    }


def test_it_computes_in_float64_wherever_it_is_called_from(tmp_path):
    before = dict(mpl.rcParams)
    with jax.enable_x64(False):
        findings = smoke(tmp_path)
        assert jax.numpy.ones(()).dtype == np.float32
    assert {finding.verdict for finding in findings} == {Verdict.PASS}
    assert dict(mpl.rcParams) == before


def test_the_same_run_gives_the_same_files(tmp_path):
    for name in "ab":
        smoke(tmp_path / name)
    for suffix in ("svg", "png"):
        first, second = (tmp_path / name / f"{STEM}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a" / f"{STEM}.svg").read_bytes()


def test_the_iterates_are_gradient_descent_by_hand(runs):
    """θ ← θ − αH(θ − θ*) − λ'θ in NumPy, H from its spectrum."""
    config = lecture.SMOKE
    h, angle = config.curvatures, config.steepest_direction
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    H = sum(h[i] * np.outer(axes[i], axes[i]) for i in range(2))
    alpha, theta = config.learning_rate, np.array(config.theta_0)
    for t in range(50):
        # Round-off of t steps that contract.
        np.testing.assert_allclose(runs.decay[0].iterates[t], theta, rtol=1e-12)
        gradient = H @ (theta - np.array(config.theta_star))
        theta = theta - alpha * gradient - config.decay_rate * theta


def failed(runs):
    config = lecture.SMOKE
    problem = lecture.make_problem(config)
    findings = lecture.equalities(config, problem, runs) + lecture.inequalities(runs)
    return [row.claim for row in findings if row.verdict is not Verdict.PASS]


def test_a_wrong_closed_form_fails(runs):
    """The verdict follows the numbers: λ' is not λ."""
    wrong = runs.decay[0]._replace(closed_form=runs.small.closed_form)
    assert failed(runs._replace(decay=(wrong, runs.decay[1]))) == [
        "A decay of λ' per step is the penalty λ = λ'/α, at every step."
    ]


def test_a_limit_that_moves_where_it_should_stay_fails(runs):
    assert failed(runs._replace(l2=runs.decay)) == [
        "With λ fixed the limit point stays when the step size changes."
    ]


def test_a_limit_that_stays_where_it_should_move_fails(runs):
    # Two equal λ among the runs then also spoil the order of the ends, to round-off.
    assert failed(runs._replace(decay=runs.l2))[0] == (
        "With λ' fixed the limit point moves when the step size changes."
    )


def test_larger_penalties_that_end_further_out_fail(runs):
    assert failed(runs._replace(large=runs.large._replace(l2=0.01))) == [
        "The larger λ, the nearer the origin training ends."
    ]


def test_unfinished_training_fails_the_limit(tmp_path):
    findings = smoke(tmp_path, dataclasses.replace(lecture.SMOKE, num_steps=10))
    assert findings[0].verdict is Verdict.PASS  # it follows the closed form even so
    assert findings[2].verdict is Verdict.FAIL
