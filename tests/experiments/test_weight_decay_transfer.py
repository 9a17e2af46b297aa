"""The tournament scores rules of known regret rightly; and one small run of it."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import weight_decay_transfer as study
from experiments.harness import tournament
from experiments.harness.workspace import Workspace
from wdjax import plots
from wdjax.stats import Verdict

CONFIG = study.Config()
PREDICTIONS = study.predict(CONFIG)
GRID = CONFIG.smallest_rate * 2.0 ** np.arange(CONFIG.rates)
CURVATURE = 0.03


def panel(best, *, noise=0.0, seeds=8, rng=None):
    """A parabola in log2 δ for both losses; the noise is each seed's own."""
    rng = np.random.default_rng(0) if rng is None else rng
    losses = 1.4 + CURVATURE * np.log2(GRID / best) ** 2
    dims = ("seed", "rate")
    variables = {
        name: (dims, losses + noise * rng.normal(size=(seeds, len(GRID))))
        for name in ("validation_loss", "test_loss")
    }
    variables["diverged_at"] = (dims, np.full((seeds, len(GRID)), -1))
    variables["decay_budget"] = (dims, np.broadcast_to(256 * GRID, (seeds, len(GRID))))
    coords = {"rate": GRID, "learning_rate": CONFIG.learning_rate}
    return xr.Dataset(variables, coords)


def measured(rule, **options):
    """Everywhere the best rate is where ``rule`` says; 2⁻⁶ where λ was tuned."""
    rng = np.random.default_rng(1)
    factors = PREDICTIONS.factors[rule]
    others = study.held_out(CONFIG)
    panels = {
        name: panel(2.0**-6 * factor, rng=rng, **options)
        for name, factor in zip(others, factors, strict=True)
    }
    alphas = np.array([one.learning_rate for one in others.values()])
    return study.Measured(panel(2.0**-6, rng=rng, **options), panels, alphas)


def verdict(result):
    (finding,) = study.judge(PREDICTIONS, result)
    return finding.verdict


def test_where_the_timescale_is_right_it_wins():
    assert verdict(measured("timescale", noise=0.002)) is Verdict.PASS


def test_where_keeping_lambda_is_right_the_timescale_loses():
    assert verdict(measured("keep λ (Optax, corrected)", noise=0.002)) is Verdict.FAIL


def test_two_seeds_decide_nothing():
    result = measured("timescale", noise=0.002, seeds=2)
    assert verdict(result) is Verdict.INCONCLUSIVE


def test_noise_decides_nothing():
    result = measured("keep λ (paper, constant δ)", noise=1.0)
    assert verdict(result) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("rule", list(study.RULES))
def test_a_rule_has_no_regret_where_it_is_right(rule):
    result = measured(rule)
    regrets = study.regrets(PREDICTIONS, result, np.arange(8))[rule]
    inside = PREDICTIONS.factors[rule] * 2.0**-6
    on_grid = (inside >= GRID[0]) & (inside <= GRID[-1])
    # Between two grid points half an octave off, the chord lies c/4 above the parabola.
    assert np.abs(regrets[on_grid]).max() <= CURVATURE / 4 + 1e-12


def test_regret_is_the_depth_of_the_basin_at_what_the_rule_asks_for():
    """Two octaves off, at a grid point: 4c."""
    one = panel(2.0**-6)
    at, between, beyond = tournament.regrets(one, [2.0**-4, 2.0**-4.5, 2.0**3])
    np.testing.assert_allclose(at, 4 * CURVATURE, rtol=1e-12)
    np.testing.assert_allclose(between, (4 + 1) / 2 * CURVATURE, rtol=1e-12)
    np.testing.assert_allclose(beyond, 16 * CURVATURE, rtol=1e-12)


def test_selection_does_not_see_the_test_set():
    one = panel(2.0**-6)
    one["test_loss"] = one.test_loss + 0.0
    one.test_loss[:, 0] = 0.0
    assert tournament.best_place(one) == 4
    assert tournament.best_rate(one) == pytest.approx(2.0**-6, rel=1e-9)
    assert (tournament.regrets(one, [GRID[0]]) < 0).all()


def test_without_a_vertex_the_best_grid_point_is_taken():
    assert tournament.best_rate(panel(10.0)) == GRID[-1]
    diverged = panel(2.0**-6)
    diverged.validation_loss[0, 4] = np.nan
    diverged.diverged_at[0, 4] = 3
    assert tournament.best_rate(diverged) in GRID[[3, 5]]


def test_the_interval_is_the_wider_of_students_and_the_jackknife():
    numbers = np.random.default_rng(0).normal(size=9)
    plain = tournament.interval(numbers, [np.delete(numbers, i) for i in range(9)])
    # A mean's jackknife is its standard error: both halves agree.
    half = 2.306004 * numbers.std(ddof=1) / 3
    expected = numbers.mean() + np.array([0, -half, half])
    np.testing.assert_allclose(plain, expected, rtol=1e-6)
    # All seeds share what one seed's draw decides: their own numbers do not spread.
    without = [np.full(8, 10 * np.delete(numbers, i).mean()) for i in range(9)]
    wide = tournament.interval(np.full(9, 10 * numbers.mean()), without)
    assert wide.high - wide.estimate == pytest.approx(10 * half, rel=1e-6)


def test_each_change_moves_what_it_names():
    base, others = study.small(CONFIG), study.held_out(CONFIG)
    assert len(others) == 8
    assert others["learning rate × 4"].learning_rate == 4 * base.learning_rate
    assert others["batch ÷ 4"].batch_size == base.batch_size // 4
    assert others["data × 3.75"].examples == 3_840
    assert others["batch and epochs × 4"] == base._replace(batch_size=256, epochs=64)
    changed = [
        sum(a != b for a, b in zip(o, base, strict=True)) for o in others.values()
    ]
    assert changed == [1] * 7 + [2]


def test_the_title_is_answered():
    said = study.doubled_batch()
    assert "timescale × 2" in said
    assert "normalised λ × 1.41" in said
    assert "keep λ (Optax, corrected) × 1," in said


def test_the_table_multiplies_optaxs_lambda():
    """Four times the learning rate: the paper's λ kept is Optax's λ divided by 4."""
    result = measured("timescale")
    scores = study.score(PREDICTIONS, result)
    table = study.answers(PREDICTIONS, result, scores).splitlines()
    column = table[0].split(" | ").index("learning rate × 4")
    paper = next(line for line in table if "paper" in line)
    assert paper.split(" | ")[column].strip().startswith("0.25 (")


def test_all_is_drawn_when_a_configuration_diverged():
    result = measured("timescale", noise=0.01)
    for one in ("validation_loss", "test_loss"):
        result.held_out["batch × 4"][one][:] = np.nan
    result.held_out["batch × 4"]["diverged_at"][:] = 2
    assert verdict(result) is Verdict.INCONCLUSIVE
    scores = study.score(PREDICTIONS, result)
    with plots.style.context():
        study.draw(PREDICTIONS, result, scores, "synthetic").draw_without_rendering()


def test_a_small_run_writes_every_sweep_and_its_finding(tmp_path):
    said = []
    config = dataclasses.replace(study.SMOKE, changes=("learning rate ×",))
    outcome = study.run(config, Workspace(tmp_path, said.append))
    assert len(outcome.findings) == 1
    files = {path.name for path in tmp_path.iterdir()} - {".unfinished"}
    stem = "weight_decay_transfer"
    names = {f"{stem}.calibration.nc", f"{stem}.00.nc", f"{stem}.png", f"{stem}.svg"}
    assert files == names
    assert any("multiply λ by" in text for text in said)
