"""The five symmetries: their verdicts, their files, and exponents that are wrong."""

import jax
import numpy as np
import pytest

from experiments import basin_symmetries
from experiments.harness.workspace import Workspace
from wdjax import stats
from wdjax.stats import Verdict

CONFIG = basin_symmetries.SMOKE
RIGHT = basin_symmetries.predict(CONFIG)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A smoke run by way of its command, in float32 as from the command line."""
    folder, said = tmp_path_factory.mktemp("out"), []
    with jax.enable_x64(False), pytest.MonkeyPatch.context() as patch:
        seen = {}

        def draw(predictions, measured):
            seen["measured"] = measured
            return original(predictions, measured)

        original = basin_symmetries.draw
        patch.setattr(basin_symmetries, "draw", draw)
        outcome = basin_symmetries.run(CONFIG, Workspace(folder, said.append))
    return outcome, seen["measured"], folder


def judged(measured, predictions=RIGHT, config=CONFIG):
    return basin_symmetries.judge(config, predictions, measured)


def fine(measured):
    """With slopes as narrow as those of the full grid, which a smoke run's are not."""
    l2, fraction = (
        stats.BasinSlope(
            stats.Interval(slope, slope - 0.004, slope + 0.004), *found[1:]
        )
        for slope, found in ((0.0, measured.ridge.l2), (1.0, measured.ridge.fraction))
    )
    ridge = measured.ridge._replace(l2=l2, fraction=fraction)
    return measured._replace(ridge=ridge)


def test_five_symmetries_hold_to_the_last_bit_and_both_files_are_written(ran):
    outcome, measured, folder = ran
    assert [f.verdict for f in outcome.findings[:5]] == [Verdict.PASS] * 5
    assert [f.interval.estimate for f in outcome.findings[:5]] == [0.0] * 5
    assert len(outcome.findings) == 7
    files = {file.name for file in folder.iterdir()}
    assert files == {"basin_symmetries.svg", "basin_symmetries.png"}
    for gaps in measured.gaps.values():
        assert gaps.control.max() > 0.01  # the decay matters at these settings


def test_ridge_has_its_slopes_within_a_coarse_grid(ran):
    """Five columns and nine decays, a factor of two apart: 0.1 is left of a slope."""
    _, measured, _ = ran
    assert measured.ridge.l2.slope.estimate == pytest.approx(0.0, abs=0.01)
    assert measured.ridge.fraction.slope.estimate == pytest.approx(1.0, abs=0.1)
    assert measured.ridge.unconverged < 1e-3


def test_a_wrong_exponent_fails_its_own_family():
    """q is −2 for Adam with L2; with −1 logits differ in a few steps."""
    one = {"Adam+L2": basin_symmetries.FAMILIES["Adam+L2"]}
    wrong = RIGHT._replace(symmetries={"Adam+L2": (1, -1)})
    with jax.enable_x64(False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(basin_symmetries, "FAMILIES", one)
        dataset = basin_symmetries.data.load("photos10")
        gaps = basin_symmetries.measure_gaps(CONFIG, wrong, dataset)
    assert gaps["Adam+L2"].symmetric.max() > 1e-3
    assert gaps["Adam+L2"].weights > 1e-5


def test_one_bit_fails_a_family_and_no_other(ran):
    _, measured, _ = ran
    for name, gaps in measured.gaps.items():
        off = np.zeros_like(gaps.symmetric)
        off[-1] = 1e-7
        moved = measured.gaps | {name: gaps._replace(symmetric=off)}
        verdicts = [f.verdict for f in judged(measured._replace(gaps=moved))[:5]]
        assert verdicts.count(Verdict.FAIL) == 1
    accelerated = measured._replace(gaps=moved, backend="gpu")
    assert [f.verdict for f in judged(accelerated)[:5]] == [Verdict.PASS] * 5


@pytest.mark.parametrize(("field", "row"), [("l2_slope", 5), ("fraction_slope", 6)])
def test_a_slope_moved_by_three_tolerances_fails(ran, field, row):
    measured = fine(ran[1])
    assert judged(measured)[row].verdict is Verdict.PASS
    moved = RIGHT._replace(**{field: getattr(RIGHT, field) + 3 * 0.02})
    assert judged(measured, moved)[row].verdict is Verdict.FAIL


def test_two_problems_decide_nothing(ran):
    few = basin_symmetries.dataclasses.replace(CONFIG, problems=2)
    verdicts = [f.verdict for f in judged(fine(ran[1]), config=few)[5:]]
    assert verdicts == [Verdict.INCONCLUSIVE] * 2
