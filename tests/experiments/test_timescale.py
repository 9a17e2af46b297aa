"""Exponents of basins of known place are found and judged; and one small run."""

import numpy as np
import pytest
import xarray as xr

import wdjax
from experiments import timescale as study
from experiments.harness import rates
from experiments.harness.averaging_identity import identity_error
from experiments.harness.configurations import Configuration, first
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from tests.experiments import judging
from wdjax import data, plots, stats
from wdjax.stats import Verdict

CONFIG = study.Config()
PREDICTIONS = study.predict(CONFIG)
LIMITS = tolerances("timescale")
GRID = CONFIG.smallest_rate * 2.0 ** np.arange(CONFIG.rates)
REFERENCE = study.reference(CONFIG)


def panel(best, *, noise=0.0, seeds=8, rng=None):
    """Losses with a parabola in log2 δ, lowest at ``best``."""
    rng = np.random.default_rng(0) if rng is None else rng
    losses = 1.4 + 0.03 * np.log2(GRID / best) ** 2
    losses = losses + noise * rng.normal(size=(seeds, len(GRID)))
    dims = ("seed", "rate")
    budget = np.broadcast_to(256 * GRID, losses.shape)
    variables = {
        "validation_loss": (dims, losses),
        "diverged_at": (dims, np.full(losses.shape, -1)),
        "decay_budget": (dims, budget),
    }
    return xr.Dataset(variables, {"rate": GRID})


def measured(exponents, *, noise=0.0, seeds=8, scatter=0.0, identity=1e-7):
    """δ* follows the exponents of (N, E, b), ``scatter`` octaves off."""
    rng = np.random.default_rng(1)
    sweeps = {}
    for one in study.star(CONFIG):
        best = 0.016 * 2.0 ** (scatter * rng.normal())
        for name, exponent in zip(study.FACTORS, exponents, strict=True):
            best *= (getattr(one, name) / getattr(REFERENCE, name)) ** exponent
        sweeps[one] = panel(best, noise=noise, seeds=seeds, rng=rng)
    scaled = {1.0: sweeps[REFERENCE], 2.0: sweeps[REFERENCE]}
    return study.Measured({"AdamW": identity}, sweeps, scaled)


def verdicts(result):
    return judging.verdicts(study.judge(PREDICTIONS, result))


@pytest.mark.parametrize("law", list(PREDICTIONS.hypotheses))
def test_each_law_is_measured_where_it_holds_and_excludes_those_that_differ(law):
    truth = [value or 0.0 for value in PREDICTIONS.hypotheses[law]]
    result = measured(truth, noise=0.005, scatter=0.05)
    assert verdicts(result) == [Verdict.PASS] * 4
    fitted, _ = study.law(result.sweeps)
    for factor, value in zip(study.FACTORS, truth, strict=True):
        exponent = fitted.exponents[factor]
        assert exponent.low <= value <= exponent.high
        others = {
            name: getattr(h, factor)
            for name, h in PREDICTIONS.hypotheses.items()
            if getattr(h, factor) is not None and abs(getattr(h, factor) - value) > 0.3
        }
        said = study.excluded(exponent, PREDICTIONS.hypotheses, factor)
        assert all(name in said for name in others)
        assert law not in said


def test_the_laws_are_those_of_the_claim():
    assert PREDICTIONS.hypotheses == {
        "Loshchilov & Hutter": (-0.5, -0.5, 0.5),
        "Wang & Aitchison": (-1, 0, 1),
        "Power Lines": (-0.473, None, 1),
    }


def test_points_far_off_a_law_fail_the_half_width():
    result = measured((-1, 0, 1), noise=0.005, scatter=1.0)
    assert verdicts(result)[1:] == [Verdict.FAIL] * 3


def test_two_seeds_decide_no_exponent():
    result = measured((-1, 0, 1), noise=0.005, seeds=2)
    assert verdicts(result) == [Verdict.PASS] + [Verdict.INCONCLUSIVE] * 3


def test_an_identity_three_tolerances_off_fails():
    result = measured((-1, 0, 1), identity=3 * LIMITS["identity"])
    assert verdicts(result)[0] is Verdict.FAIL


def test_basins_beyond_the_grid_are_censored_and_drawn():
    result = measured((-1, 0, 1))
    far = {one: panel(10.0) for one in result.sweeps}
    result = result._replace(sweeps=far, scaled={1.0: far[REFERENCE]})
    assert verdicts(result)[1:] == [Verdict.INCONCLUSIVE] * 3
    assert "edge of the grid" in study.judge(PREDICTIONS, result)[1].notes
    with plots.style.context():
        study.draw(PREDICTIONS, result, "synthetic").draw_without_rendering()


@pytest.mark.parametrize("name", list(study.OPTIMIZERS))
def test_the_identity_holds_for_every_optimizer_with_decoupled_decay(name):
    error = identity_error(study.OPTIMIZERS[name], 60)
    # Rounding of float32: 60 additions of 6e-8, in two orders.
    assert 0 < error < 2e-6


def test_the_identity_does_not_hold_for_l2():
    """The control: the directions without the penalty are not those of the run."""
    error = identity_error(wdjax.adam_l2, 60)
    assert error > 1e-2


def test_the_star_moves_one_factor_at_a_time():
    configurations = study.star(CONFIG)
    assert len(set(configurations)) == len(configurations) == 13
    for one in configurations[1:]:
        moved = [a != b for a, b in zip(one, REFERENCE, strict=True)]
        assert sum(moved) == 1


def test_the_members_of_a_factor_are_in_order_and_hold_the_rest():
    result = measured((-1, 0, 1))
    found = rates.members(result.sweeps, "batch_size")
    assert [member.value for member in found] == [16, 32, 64, 128, 256]
    for member in found:
        assert list(result.sweeps)[member.place].batch_size == member.value


def test_the_interval_of_a_best_rate_is_the_jackknife_of_its_logarithm():
    noisy = panel(0.016, noise=0.02)
    best = rates.bests([noisy])
    found = rates.best_interval(best, 0)
    logs = np.log(best.without_seed[:, 0])
    variance = 7 / 8 * np.sum((logs - logs.mean()) ** 2)
    half = 2.364624 * np.sqrt(variance)  # t(7, 97.5 %) from a table
    expected = best.values[0] * np.exp([0, -half, half])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_coincidence_looks_only_where_the_start_is_forgotten():
    base = panel(0.016)
    shifted = base.copy(deep=True)
    small = base.decay_budget.mean("seed") < 3
    shifted["validation_loss"] = base.validation_loss + xr.where(small, 9.0, 0.02)
    assert "c = 2: 0.02 nats" in study.coincidence({1.0: base, 2.0: shifted})


def test_a_configuration_counts_the_steps_that_are_taken():
    one = Configuration(0.01, 64, 200, 5)
    assert one.steps == 15  # three whole batches an epoch
    # 3072·64 + 64·64 + 64·10 weights and the head's biases.
    assert one.scale(10) == (0.01, 64, 200, 5, 201_354)


def test_the_first_examples_are_kept_and_too_many_refused():
    dataset = data.load("photos10")
    small = first(dataset, 100)
    np.testing.assert_array_equal(small.train.labels, dataset.train.labels[:100])
    assert small.test is dataset.test
    with pytest.raises(ValueError, match="4000 training examples"):
        first(dataset, 5_000)


def test_a_small_run_writes_every_sweep_and_its_findings(tmp_path):
    outcome = study.run(study.SMOKE, Workspace(tmp_path, lambda text: None))
    assert len(outcome.findings) == 4
    files = {path.name for path in tmp_path.iterdir()} - {".unfinished"}
    assert {"timescale.png", "timescale.svg", "timescale.00.nc"} <= files
    assert isinstance(outcome.findings[0].interval, stats.Interval)
