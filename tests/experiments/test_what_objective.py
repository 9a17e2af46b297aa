"""What each method minimises: verdicts, files, and predictions that are wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

from experiments import what_objective
from experiments.harness.workspace import Workspace
from tests.experiments.judging import by_claim, not_passed
from wdjax import stats
from wdjax.stats import Verdict

CONFIG = what_objective.Config()
RIGHT = what_objective.predict(CONFIG)
SMOKE = dataclasses.replace(
    what_objective.SMOKE, chains=4, num_steps=3_200, net_steps=1_500, starts=3
)
LIMIT, SPECTRUM = 0.005, 1e-3  # the tolerances, as CLAIMS has them
METHODS = ["SGD+L2", "SGDW", "Adam+L2", "AdamW"]


def as_predicted(chains=6, starts=3, spread=1e-4):
    """What a run would measure if all predictions were true, with a little noise."""
    rng = np.random.default_rng(0)

    def noisy(x, copies, size):
        return x + size * rng.normal(size=(copies, *x.shape))

    return what_objective.Measured(
        ends={k: noisy(x, chains, spread) for k, x in RIGHT.ends.items()},
        spectra={k: noisy(x, starts, 1e-6) for k, x in RIGHT.spectra.items()},
        largest_entry=1.2,
        budgets=dict.fromkeys(METHODS, "39"),
    )


def verdicts(predictions, measured):
    return by_claim(what_objective.judge(CONFIG, predictions, measured))


def changed(predictions, measured):
    return not_passed(what_objective.judge(CONFIG, predictions, measured))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder, said, before = tmp_path_factory.mktemp("out"), [], dict(mpl.rcParams)
    with jax.enable_x64(False):  # float64 wherever it is called from
        outcome = what_objective.run(SMOKE, Workspace(folder / "new", said.append))
        assert jnp.ones(()).dtype == np.float32
    assert said
    assert dict(mpl.rcParams) == before
    return outcome, folder / "new"


def test_a_smoke_run_writes_both_files_and_one_finding_for_each_sentence(outcome):
    (findings, data), folder = outcome
    assert {file.name for file in folder.iterdir()} == {
        "what_objective.svg",
        "what_objective.png",
    }
    assert len(findings) == len({f.claim for f in findings}) == 9
    assert "no data set" in data
    for finding in findings:
        assert np.isfinite(finding.interval).all()
        assert finding.seeds in (SMOKE.chains, SMOKE.starts)
        assert finding.convention


def test_even_a_smoke_run_is_near_the_predictions(outcome):
    (findings, _), _ = outcome
    for finding in findings[:4]:
        # Within 4 chains' interval, and what so few steps have not forgotten yet.
        low, high = finding.interval.low - 0.1, finding.interval.high + 0.1
        assert low < finding.band.prediction < high
    assert findings[4].verdict is Verdict.PASS  # AdamW is far from ridge


def test_true_predictions_pass():
    found = verdicts(RIGHT, as_predicted())
    assert list(found.values()) == 9 * [Verdict.PASS]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cell", [(0, 0), (4, 2), (2, 1)])
def test_one_limit_point_predicted_wrongly_fails_its_method(method, cell):
    """By three tolerances, in one of the fifteen cells."""
    wrong = RIGHT.ends[method].copy()
    wrong[cell] += 3 * LIMIT
    predictions = RIGHT._replace(ends=RIGHT.ends | {method: wrong})
    found = changed(predictions, as_predicted())
    assert [*found.values()] == [Verdict.FAIL]
    assert next(iter(found)).startswith(f"{method} ends at ")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("s", [0, 3])
def test_one_singular_value_predicted_wrongly_fails_its_method(method, s):
    wrong = RIGHT.spectra[method].copy()
    wrong[s] += 3 * SPECTRUM
    predictions = RIGHT._replace(spectra=RIGHT.spectra | {method: wrong})
    found = changed(predictions, as_predicted())
    assert [*found.values()] == [Verdict.FAIL]
    assert f"linear net {method} " in next(iter(found))


def test_an_adamw_that_solved_ridge_would_fail():
    measured = as_predicted()
    ends = measured.ends | {"AdamW": measured.ends["SGD+L2"]}
    found = changed(RIGHT, measured._replace(ends=ends))
    assert found["AdamW does not end at ridge."] is Verdict.FAIL
    assert len(found) == 2  # and it is not where its own equation has it


def test_three_levels_far_from_ridge_are_enough_and_two_are_not():
    measured = as_predicted()
    for near, expected in ((2, Verdict.PASS), (3, Verdict.FAIL)):
        samples = measured.ends["AdamW"].copy()
        samples[:, :near] = measured.ends["SGD+L2"][:, :near]
        moved = measured._replace(ends=measured.ends | {"AdamW": samples})
        assert verdicts(RIGHT, moved)["AdamW does not end at ridge."] is expected


def test_two_seeds_decide_nothing():
    assert set(verdicts(RIGHT, as_predicted(chains=2, starts=2)).values()) == {
        Verdict.INCONCLUSIVE
    }


def test_a_wide_interval_decides_nothing_and_a_failed_cell_outweighs_it():
    measured = as_predicted()
    samples = measured.ends["SGDW"].copy()
    samples[:, 0, 0] += 0.1 * np.array([-1, 1, -1, 1, -1, 1])
    wide = measured._replace(ends=measured.ends | {"SGDW": samples})
    assert [*changed(RIGHT, wide).values()] == [Verdict.INCONCLUSIVE]
    samples = samples.copy()
    samples[:, 3, 1] += 3 * LIMIT  # nearer than the wide interval's ends, and wrong
    failed = wide._replace(ends=measured.ends | {"SGDW": samples})
    assert [*changed(RIGHT, failed).values()] == [Verdict.FAIL]


def test_a_diverged_chain_decides_nothing():
    measured = as_predicted()
    samples = measured.ends["Adam+L2"].copy()
    samples[0, 1, 1] = np.nan
    broken = measured._replace(ends=measured.ends | {"Adam+L2": samples})
    assert [*changed(RIGHT, broken).values()] == [Verdict.INCONCLUSIVE]


def test_predictions_differ_where_they_must():
    """The setting can tell the methods apart, and the claims from their neighbours."""
    ridge, adamw = RIGHT.ends["SGD+L2"], RIGHT.ends["AdamW"]
    assert np.all(np.abs(adamw - ridge).max(axis=1) > 0.1)
    h, star = map(np.array, (CONFIG.curvatures, CONFIG.minimiser))
    assert np.abs(star).max() > 1 / CONFIG.weight_decay > np.sort(np.abs(star))[-2]
    noisy = h * star / (h + CONFIG.weight_decay * np.array(CONFIG.noises)[:, None])
    assert np.abs(adamw - noisy)[1:].max() > 3 * LIMIT  # not yet its own limit
    assert np.sqrt(max(CONFIG.singular_values)) < 1 / CONFIG.weight_decay


def test_a_chain_is_what_it_says_by_hand():
    """θ ← θ − α(h(θ − θ*) + σξ + λθ) on the noise of its key, averaged over half."""
    config = dataclasses.replace(SMOKE, num_steps=128)
    with jax.enable_x64(True):
        ends, pulled = what_objective.make_chain(config)(jnp.array(7))
        start_key, noise_key = jax.random.split(jax.random.key(7))
        theta = np.array(jax.random.normal(start_key, (5, 3)))
        xi = np.concatenate(
            [
                jax.random.normal(
                    jax.random.fold_in(noise_key, i), (64, 3), jnp.float32
                )
                for i in range(2)
            ]
        )
    h, star = map(np.array, (config.curvatures, config.minimiser))
    sigma, total = np.array(config.noises)[:, None], 0.0
    for t in range(128):
        alpha = 0.05 * 0.1 ** min(t / 64, 1)  # to 0.005 within half the steps
        theta = theta - alpha * (h * (theta - star) + sigma * xi[t] + 0.5 * theta)
        total = total + (t >= 64) * theta
    # float64 in another order of operations.
    np.testing.assert_allclose(ends["SGD+L2"], total / 64, rtol=1e-10)
    np.testing.assert_allclose(ends["SGDW"], total / 64, rtol=1e-10)
    assert pulled.shape == (5,)
    assert np.all(
        np.diff(np.asarray(pulled)[1:]) < 0
    )  # more noise, less of the penalty


def test_budgets_name_what_is_removed():
    config = dataclasses.replace(SMOKE, num_steps=128)
    rates = 0.05 * 0.1 ** np.minimum(np.arange(128) / 64, 1)
    with jax.enable_x64(True):
        found = what_objective.budgets(config, np.array([9.0, 8.0, 7.0, 6.0, 5.0]))
    assert list(found) == METHODS
    assert found["SGDW"] == found["AdamW"] == f"{0.5 * rates.sum():.3g}"
    assert "5 at σ = 3 to 8 at σ = 0.1" in found["Adam+L2"]


def test_worst_is_the_finding_that_decides():
    def finding(value, tolerance):
        band = what_objective.around(1.0, tolerance)
        return what_objective.judged("", band, stats.exact(value))

    far_inside, near_outside = finding(1.4, 0.5), finding(1.2, 0.1)
    assert what_objective.worst([far_inside, near_outside]) is near_outside
    assert what_objective.worst([finding(1.1, 0.5), far_inside]) is far_inside
