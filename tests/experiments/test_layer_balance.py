"""The balance of layers: verdicts, and recursions and ratios that should not pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import layer_balance as experiment
from experiments.harness.workspace import Workspace
from tests.experiments.judging import not_passed
from wdjax.stats import Verdict

CONFIG = experiment.SMOKE
RIGHT = experiment.predict(CONFIG)
F64 = "B follows its recursion at every step, in float64."
F32 = "B follows its recursion at every step, in float32."
BALANCED = "Layers that have converged with L2 are equally large."


@pytest.fixture(scope="module")
def measured():
    return experiment.measure(CONFIG)


def verdicts(measured, predictions=RIGHT):
    return not_passed(experiment.judge(CONFIG, predictions, measured))


def test_every_sentence_passes_and_the_figure_is_written(
    tmp_path, monkeypatch, measured
):
    monkeypatch.setattr(experiment, "measure", lambda *_: measured)
    with jax.enable_x64(False):
        findings, _ = experiment.run(CONFIG, Workspace(tmp_path, [].append))
        assert jnp.ones(()).dtype == np.float32
    assert [finding.verdict for finding in findings] == [Verdict.PASS] * 3
    assert "AdamW's ratio" in findings[-1].notes
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"layer_balance.svg", "layer_balance.png"}


def test_a_wrong_decay_or_learning_rate_fails_the_recursion(measured):
    """(1 − αλ) in the place of its square, and α in the place of its own."""
    halved = RIGHT._replace(decay_rate=RIGHT.decay_rate / 2)
    faster = RIGHT._replace(learning_rate=RIGHT.learning_rate**0.5)
    for wrong in (halved, faster):
        assert verdicts(measured, wrong) == {F64: Verdict.FAIL, F32: Verdict.FAIL}


@pytest.mark.parametrize(("bits", "claim"), [("f64", F64), ("f32", F32)])
def test_one_step_three_tolerances_off_fails(measured, bits, claim):
    steps = getattr(measured, bits)
    outgoing = np.array(steps.outgoing)
    total = outgoing[-1, 0] + steps.incoming[-1, 0]
    outgoing[-1, 0] += 3 * experiment.TOLERANCES[f"residual_{bits}"] * total
    wrong = measured._replace(**{bits: steps._replace(outgoing=outgoing)})
    assert verdicts(wrong) == {claim: Verdict.FAIL}


def test_without_the_bias_the_recursion_fails(measured, monkeypatch):
    with_bias = experiment.squares

    def without(tree):
        no_bias = {
            name: layer | {"bias": 0 * layer["bias"]} for name, layer in tree.items()
        }
        return with_bias(no_bias)

    monkeypatch.setattr(experiment, "squares", without)
    wrong = experiment.measure_steps(CONFIG, jnp.float64)
    assert verdicts(measured._replace(f64=wrong)) == {F64: Verdict.FAIL}


def test_layers_three_tolerances_out_of_balance_fail(measured):
    incoming = measured.l2.outgoing / 1.03**2
    wrong = measured._replace(l2=measured.l2._replace(incoming=incoming))
    assert verdicts(wrong) == {BALANCED: Verdict.FAIL}
    # The same the other way round.
    incoming = measured.l2.outgoing * 1.03**2
    wrong = measured._replace(l2=measured.l2._replace(incoming=incoming))
    assert verdicts(wrong) == {BALANCED: Verdict.FAIL}


def test_adamw_s_layers_would_fail(measured):
    assert verdicts(measured._replace(l2=measured.adamw)) == {BALANCED: Verdict.FAIL}


def test_two_seeds_decide_nothing_about_what_has_converged(measured):
    few = experiment.Converged(*(field[:2] for field in measured.l2))
    assert verdicts(measured._replace(l2=few)) == {BALANCED: Verdict.INCONCLUSIVE}


def test_the_runs_start_out_of_balance(measured):
    assert experiment.ratios(measured.l2)[:, 0].min() > 1.2
