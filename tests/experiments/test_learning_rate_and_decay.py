"""The study judges panels of known answer rightly; and one small run of it."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from experiments import learning_rate_and_decay as study
from experiments.harness.tolerances import tolerances
from experiments.harness.trainings import best_cell
from experiments.harness.workspace import Workspace
from tests.experiments.judging import verdicts
from wdjax import plots, sweep
from wdjax.stats import Verdict

SEEDS, ROWS, COLUMNS = 8, 9, 7
TINY = dataclasses.replace(study.SMOKE, columns=2, rows=2, steps=20, records=20)


def panel(name, slope, *, noise=0.05, lowest=0.30, none=0.40, seeds=SEEDS):
    """A basin that follows ``slope``, 0.5 points deep per octave²; λ = 0 is worse."""
    method = study.METHODS[name]
    alphas = method.learning_rates.values(COLUMNS)
    decays = np.array([0.0, *method.decays.values(ROWS)])
    rng = np.random.default_rng(len(name))
    octaves_of_alpha = np.log2(alphas) - np.log2(alphas).mean()
    ridge = np.log2(decays[1:]).mean() + slope * octaves_of_alpha
    with np.errstate(divide="ignore"):
        octaves = np.log2(decays)[:, None] - ridge[None, :]
    errors = lowest + 0.005 * octaves**2
    errors[0] = none
    errors = errors + rng.normal(size=(seeds, 1, 1)) * 0.01
    errors = errors + noise * 0.01 * rng.normal(size=errors.shape)
    dims = ("seed", "decay", "learning_rate")
    norm = np.broadcast_to(10 / (1 + decays[None, :, None]), errors.shape)
    variables = {
        "validation_error": (dims, errors),
        "test_error": (dims, errors + 0.01),
        "train_loss": (dims, errors),
        "diverged_at": (dims, np.full(errors.shape, -1)),
        "decay_budget": (dims, np.ones(errors.shape)),
        "norm": ((*dims, "record"), norm[..., None]),
    }
    coords = {"seed": np.arange(seeds), "decay": decays, "learning_rate": alphas}
    configuration = json.dumps(dataclasses.asdict(study.SMOKE), default=str)
    attrs = {"method": name, "data": "synthetic", "configuration": configuration}
    return xr.Dataset(variables, coords, attrs)


def panels(shift=0.0, **options):
    slopes = {"SGD+L2": -1, "SGDW": 0, "Adam+L2": -2, "AdamW": -1}
    lowest = {"AdamW": 0.28}
    return {
        name: panel(name, slope + shift, lowest=lowest.get(name, 0.30), **options)
        for name, slope in slopes.items()
    }


def test_panels_that_obey_theory_pass_every_sentence():
    assert set(verdicts(study.judge(panels()))) == {Verdict.PASS}


@pytest.mark.parametrize("sign", [-1, 1])
def test_slopes_off_by_three_tolerances_fail(sign):
    shift = 3 * sign * tolerances("learning_rate_and_decay")["slope"]
    findings = study.judge(panels(shift=shift))
    # AdamW's two drawings stand or fall together: they are one run.
    assert verdicts(findings[:5]) == [Verdict.FAIL] * 5


@pytest.mark.parametrize("noise", [0.05, 2.0])
def test_two_seeds_decide_nothing(noise):
    findings = study.judge(panels(noise=noise, seeds=2))
    assert set(verdicts(findings)) == {Verdict.INCONCLUSIVE}


def test_adam_with_l2_ahead_of_adamw_fails_the_claim():
    swapped = panels()
    swapped["AdamW"]["test_error"] += 0.05
    (finding,) = [f for f in study.judge(swapped) if "better" in f.claim]
    assert finding.verdict is Verdict.FAIL


def test_decay_that_hurts_fails_and_a_norm_that_rises_fails():
    hurt = panels(none=0.1)
    hurt["SGDW"]["norm"] = -hurt["SGDW"]["norm"]
    found = {f.claim: f.verdict for f in study.judge(hurt)}
    assert found["SGD+L2: decay lowers the test error"] is Verdict.FAIL
    (pull,) = [v for claim, v in found.items() if claim.startswith("SGDW: the larger")]
    assert pull is Verdict.FAIL


def test_a_cell_with_a_diverged_run_is_never_the_best():
    one = panel("AdamW", -1.0)
    best = best_cell(one)
    spot = {"decay": float(best.decay), "learning_rate": float(best.learning_rate)}
    one.validation_error.loc[spot] = 0.0  # far the best, if one run did not count
    one.validation_error.loc[{**spot, "seed": 0}] = np.nan
    again = best_cell(one)
    assert (float(again.decay), float(again.learning_rate)) != tuple(spot.values())


@pytest.mark.parametrize("gone", [["AdamW"], list(study.METHODS)])
def test_a_method_whose_every_run_diverged_is_judged_and_drawn(gone):
    wild = panels()
    for name in gone:
        for error in ("validation_error", "test_error", "train_loss"):
            wild[name][error] = wild[name][error] * np.nan
        wild[name]["diverged_at"] = wild[name]["diverged_at"] + 6
    found = {f.claim: f.verdict for f in study.judge(wild)}
    assert found["AdamW: d log λ*/d log α"] is Verdict.INCONCLUSIVE
    assert found["AdamW does better than Adam with L2"] is Verdict.INCONCLUSIVE
    with plots.style.context():
        figure = study.figure(wild)
        figure.draw_without_rendering()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "diverged" in labels


def test_the_papers_coordinates_are_the_same_vertices_times_alpha():
    one = panel("AdamW", -1.0)
    optax_units = study.basin(one)
    paper = study.in_paper_units(optax_units, one)
    scaled = one.assign_coords(decay=one.decay)  # what a fit in paper's units would see
    alphas = scaled.learning_rate.values
    np.testing.assert_allclose(
        paper.best_decays, optax_units.best_decays * alphas, rtol=1e-12
    )
    x, y = np.log(alphas), np.log(paper.best_decays)
    np.testing.assert_allclose(paper.slope.estimate, np.polyfit(x, y, 1)[0], rtol=1e-9)


def test_a_small_run_writes_data_figure_and_findings(tmp_path):
    said = []
    outcome = study.run(TINY, Workspace(tmp_path, said.append))
    assert outcome.data == "photos10 (n = 4,000)"
    assert len(outcome.findings) == 12
    assert said
    files = {path.name for path in tmp_path.iterdir()} - {".unfinished"}
    names = {study.file_name(name) for name in study.METHODS}
    stem = "learning_rate_and_decay"
    assert files == names | {f"{stem}.svg", f"{stem}.png"}
    saved = sweep.load(tmp_path / study.file_name("AdamW"))
    assert dict(saved.sizes) == {
        "seed": 2,
        "decay": 3,
        "learning_rate": 2,
        "record": 20,
    }
    assert saved.decay.values[0] == 0.0
    assert json.loads(saved.attrs["configuration"])["steps"] == 20
    for name in ("device", "commit", "versions", "run_seconds", "data"):
        assert saved.attrs[name]


def test_decay_and_l2_start_equal_where_there_is_none(tmp_path):
    """At λ = 0 the pairs are one method: the same bits for the same seed."""
    study.run(TINY, Workspace(tmp_path, lambda text: None))
    loaded = {n: sweep.load(tmp_path / study.file_name(n)) for n in study.METHODS}
    for pair in (("SGD+L2", "SGDW"), ("Adam+L2", "AdamW")):
        a, b = (loaded[name].isel(decay=0) for name in pair)
        shared = np.intersect1d(a.learning_rate, b.learning_rate)
        for alpha in shared:
            np.testing.assert_allclose(
                a.validation_loss.sel(learning_rate=alpha),
                b.validation_loss.sel(learning_rate=alpha),
                rtol=1e-10,
            )
    assert np.array_equal(loaded["SGD+L2"].learning_rate, loaded["SGDW"].learning_rate)
