"""The propositions: their verdicts, their files, and predictions that are wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

from experiments import propositions
from experiments.harness.workspace import Workspace
from wdjax.stats import Verdict

CONFIG = dataclasses.replace(propositions.SMOKE, num_steps=100, num_l2s=40)
PROBLEM = propositions.make_problem(CONFIG)
RIGHT = propositions.predict(CONFIG)


@pytest.fixture(scope="module")
def measured():
    return propositions.measure(CONFIG, PROBLEM, RIGHT)


def failed(measured):
    findings = propositions.judge(measured)
    return [f.claim for f in findings if f.verdict is not Verdict.PASS]


def test_every_sentence_passes_and_both_files_are_written(tmp_path):
    """In float64 wherever it is called from, and without a trace left behind."""
    before, said = dict(mpl.rcParams), []
    with jax.enable_x64(False):
        findings, _ = propositions.run(
            propositions.SMOKE, Workspace(tmp_path / "new", said.append)
        )
        assert jnp.ones(()).dtype == np.float32
    assert [finding.verdict for finding in findings] == [Verdict.PASS] * 9
    assert said
    assert dict(mpl.rcParams) == before
    files = {file.name for file in (tmp_path / "new").iterdir()}
    assert files == {"propositions.svg", "propositions.png"}
    assert b"<dc:date>" not in (tmp_path / "new" / "propositions.svg").read_bytes()


def test_a_wrong_penalty_fails_propositions_1_and_3():
    """λ₂ off by 1e-9 of itself is far beyond 1e-12 of θ."""
    wrong = RIGHT._replace(l2=RIGHT.l2 * (1 + 1e-9))
    residuals = propositions.measure_residuals(CONFIG, PROBLEM, wrong)
    assert residuals.sgdw.max() > 1e-12
    assert residuals.adjusted.max() > 1e-12
    # Both sides of "add_l2 is the penalty" carry the same λ₂ and stay equal.
    assert residuals.sgd_l2.max() < 1e-12


def test_a_penalty_not_rescaled_fails_proposition_3(measured):
    """‖θ‖² in the place of ‖θ⊙√s‖²: Proposition 1 does not hold for M."""
    alpha, steps, s = CONFIG.learning_rate, CONFIG.num_steps, PROBLEM.s
    behind = propositions.wdjax.with_weight_decay(
        propositions.preconditioned(alpha, s), CONFIG.decay_rate
    )
    plain = propositions.descend(PROBLEM, alpha, 1 / s, RIGHT.l2 + 0 * s, steps)
    wrong = propositions.residuals(propositions.train(behind, PROBLEM, steps), plain)
    residuals = measured.residuals._replace(adjusted=wrong)
    assert failed(measured._replace(residuals=residuals)) == [
        "Prop. 3: with M it is f + (δ/2α)‖θ⊙√s‖²."
    ]


def test_the_right_coefficient_fails_as_the_printed_one(measured):
    right = RIGHT._replace(printed_l2=RIGHT.l2)
    residuals = propositions.measure_residuals(CONFIG, PROBLEM, right)
    assert failed(measured._replace(residuals=residuals)) == [
        "Prop. 3 as printed in eq. (2) is another path."
    ]


def test_each_verdict_follows_its_number(measured):
    """Each number, put on the other side of its tolerance, fails its own sentence."""
    assert failed(measured) == []
    for group, per_field in {
        "residuals": {
            "sgdw": 2e-12,
            "sgd_l2": 2e-12,
            "adjusted": 2e-12,
            "printed": 9e-3,
        },
        "distances": {"fixed": 9e-3, "adam": 9e-3},
        "rests": {"coupled": 2e-8, "corrected": 2e-8, "naive": 2e-8},
    }.items():
        numbers = getattr(measured, group)
        for name, wrong in per_field.items():
            value = getattr(numbers, name)
            moved = wrong if isinstance(value, float) else np.full_like(value, wrong)
            changed = numbers._replace(**{name: moved})
            assert len(failed(measured._replace(**{group: changed}))) == 1


def test_a_scalar_preconditioner_fails_proposition_2():
    """M = kI has its λ: a finer scan around δk/α finds it."""
    scalar = PROBLEM._replace(s=jnp.full_like(PROBLEM.s, 2.0))
    config = dataclasses.replace(CONFIG, decades=0.5, num_l2s=101)
    distances = propositions.measure_distances(config, scalar)
    assert distances.fixed.min() < 1e-2
    nearest = distances.l2s[distances.fixed.argmin()]
    # λ = 2δ/α, to the spacing of the scan.
    assert nearest == pytest.approx(2 * RIGHT.l2, rel=0.02)
    assert distances.plain.min() < 1e-12  # δ/α itself is the scan's middle


def test_the_scan_of_plain_sgd_is_not_blind(measured):
    """Where there is an equal λ the same scan dips towards it; M's stays far off."""
    distances = measured.distances
    dip = distances.l2s[distances.plain.argmin()]
    assert dip == pytest.approx(RIGHT.l2, rel=0.13)  # the spacing of 40 λ
    assert distances.plain.min() < 0.2 * distances.fixed.min()


@pytest.mark.parametrize("factor", [1 - 1e-6, 1 + 1e-6])
def test_wrong_fixed_points_fail(measured, factor):
    wrong = RIGHT._replace(
        corrected_decay=factor * RIGHT.corrected_decay,
        naive_ridge=factor * RIGHT.naive_ridge,
    )
    rests = propositions.measure_rests(CONFIG, wrong)
    assert failed(measured._replace(rests=rests)) == [
        "With δ = αλ₂/(1−β) they rest there too.",
        "With δ = αλ₂ they rest at ridge with (1−β)λ₂.",
    ]


def test_forgetting_the_momentum_fails(measured):
    """The naive αλ₂ is not the corrected decay, nor does it rest at ridge with λ₂."""
    wrong = RIGHT._replace(
        corrected_decay=CONFIG.quadratic_learning_rate * CONFIG.quadratic_l2,
        naive_ridge=CONFIG.quadratic_l2,
    )
    rests = propositions.measure_rests(CONFIG, wrong)
    assert rests.corrected > 0.05
    assert rests.naive > 0.05


def test_a_diverged_run_is_infinitely_far():
    config = dataclasses.replace(CONFIG, num_l2s=2, decades=5.0)
    distances = propositions.measure_distances(config, PROBLEM)
    assert np.isinf(distances.plain[-1])
    assert np.isfinite(distances.plain[0])
