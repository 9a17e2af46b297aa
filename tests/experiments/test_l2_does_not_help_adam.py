"""The comparison judges results of known answer rightly; and one small run of it."""

import numpy as np
import pytest
import xarray as xr

from experiments import l2_does_not_help_adam as study
from experiments.harness.tolerances import tolerances
from experiments.harness.workspace import Workspace
from tests.experiments import judging
from wdjax import plots, sweep
from wdjax.stats import Verdict

PREDICTIONS = study.predict(study.Config())
MARGIN = tolerances("l2_does_not_help_adam")["no_decay_equivalence"]


def cell(errors, *, decay=0.1, learning_rate=0.01):
    """A selected cell on fresh seeds."""
    errors = np.asarray(errors)
    variables = {
        "test_error": ("seed", errors),
        "train_loss": ("seed", errors),
        "decay_budget": ("seed", np.ones(len(errors))),
    }
    coords = {"decay": decay, "learning_rate": learning_rate}
    return xr.Dataset(variables, coords)


def grid(decays, lowest):
    """Validation error least at the given place of (decay, learning rate)."""
    alphas, seeds = np.array([0.005, 0.01, 0.02]), 2
    errors = np.full((seeds, len(decays), 3), 0.5)
    errors[:, 0] = [0.45, 0.4, 0.42]
    errors[(slice(None), *lowest)] = 0.3
    dims = ("seed", "decay", "learning_rate")
    names = ("validation_error", "test_error", "train_loss")
    variables = {name: (dims, errors.copy()) for name in names}
    variables["decay_budget"] = (dims, np.ones(errors.shape))
    return xr.Dataset(variables, {"decay": decays, "learning_rate": alphas})


def measured(*, gain=0.02, loss=0.0, seeds=60, noise=0.005):
    """AdamW better than Adam+L2 by ``gain``; that worse than λ = 0 by ``loss``."""
    rng = np.random.default_rng(0)
    shared = 0.3 + 0.02 * rng.normal(size=seeds)
    own = noise * rng.normal(size=(3, seeds))
    arms = {"AdamW": loss - gain, "Adam+L2": loss, "λ = 0": 0.0}
    decays = {"AdamW": 1.0, "Adam+L2": 1e-3, "λ = 0": 0.0}
    selected = {
        name: cell(shared + shift + e, decay=decays[name])
        for (name, shift), e in zip(arms.items(), own, strict=True)
    }
    grids = {
        "AdamW": grid([0.0, 0.5, 1.0, 2.0], (2, 1)),
        "Adam+L2": grid([0.0, 1e-4, 1e-3, 1e-2], (2, 1)),
    }
    return {"mlp": study.Measured(grids, selected)}


def verdicts(results):
    return judging.verdicts(study.judge(PREDICTIONS, results))


def test_results_as_predicted_pass():
    assert verdicts(measured()) == [Verdict.PASS, Verdict.PASS]


def test_adam_with_l2_ahead_fails_the_primary_endpoint():
    assert verdicts(measured(gain=-0.02))[0] is Verdict.FAIL


@pytest.mark.parametrize("sign", [-1, 1])
def test_three_margins_from_no_decay_is_not_equivalent(sign):
    assert verdicts(measured(loss=3 * sign * MARGIN))[1] is Verdict.FAIL


def test_noise_leaves_both_open():
    assert verdicts(measured(gain=0.001, noise=0.03)) == [Verdict.INCONCLUSIVE] * 2


def test_two_seeds_decide_nothing():
    assert verdicts(measured(seeds=2, noise=0.0)) == [Verdict.INCONCLUSIVE] * 2


def test_a_diverged_arm_decides_nothing_and_is_drawn():
    broken = measured()
    broken["mlp"].selected["AdamW"]["test_error"][3] = np.nan
    assert verdicts(broken)[0] is Verdict.INCONCLUSIVE
    with plots.style.context():
        study.draw(PREDICTIONS, broken, "synthetic").draw_without_rendering()


def test_the_90_percent_interval_judges_equivalence():
    """Just inside at 90 %, not at 95 %: two one-sided tests at 5 %."""
    rng = np.random.default_rng(1)
    d = rng.normal(size=60)
    d = 0.002 + (d - d.mean()) / d.std(ddof=1) * 0.0043
    results = measured()
    base = results["mlp"].selected["λ = 0"].test_error.values
    results["mlp"].selected["Adam+L2"]["test_error"][:] = base + d
    # t(59) is 1.671 and 2.001: upper ends 0.00293 and 0.00311, about the 0.003.
    assert verdicts(results)[1] is Verdict.PASS


def test_each_arm_is_the_best_by_validation_and_none_is_a_neighbour():
    chosen = study.select(measured()["mlp"].grids)
    cells = {k: (float(v.learning_rate), float(v.decay)) for k, v in chosen.items()}
    assert cells == {
        "AdamW": (0.01, 1.0),
        "Adam+L2": (0.01, 1e-3),
        "λ = 0": (0.01, 0.0),
    }


def test_the_selection_does_not_see_the_test_set():
    grids = dict(measured()["mlp"].grids)
    grids["AdamW"] = grids["AdamW"].copy(deep=True)
    grids["AdamW"]["test_error"][:, 1, 0] = 0.0
    assert float(study.select(grids)["AdamW"].decay) == 1.0


def test_a_best_cell_at_the_edge_is_named_and_one_inside_is_not():
    assert "edge" not in study.judge(PREDICTIONS, measured())[0].notes
    results = measured()
    one = results["mlp"]
    one.selected["AdamW"] = one.selected["AdamW"].assign_coords(decay=2.0)
    assert "λ = 2 (edge of decay)" in study.judge(PREDICTIONS, results)[0].notes


def test_the_relative_improvement_is_of_the_other_methods_error():
    ours, theirs = np.array([8.0, 9.0]), np.array([10.0, 10.0])
    np.testing.assert_allclose(study.relative_improvement(ours, theirs), [20.0, 10.0])


@pytest.mark.parametrize(("spread", "needed"), [(0.5, 60), (2.0, 100)])
def test_the_seeds_required_depend_on_the_spread(spread, needed):
    differences = spread * np.random.default_rng(0).normal(size=80)
    said = study.enough(differences)
    assert f"{needed} seeds required" in said
    assert ("fewer than" in said) == (needed > 80)


def test_fresh_seeds_are_no_seeds_of_the_selection():
    for config in (study.Config(), study.SMOKE, study.FULL):
        selection = study.plan_of("AdamW", "mlp", config).axes["seed"]
        fresh = range(config.seeds_from, config.seeds_from + config.seeds)
        assert not set(selection.tolist()) & set(fresh)
        assert min(selection) >= 1000  # pilots' seeds are below


def test_a_small_run_writes_every_cell_and_its_findings(tmp_path):
    said = []
    outcome = study.run(study.SMOKE, Workspace(tmp_path, said.append))
    assert len(outcome.findings) == 2
    assert outcome.findings[0].seeds == 8
    stem = "l2_does_not_help_adam"
    cells = {f"{stem}.mlp.{m}.nc" for m in ("adamw", "adam_l2")}
    arms = {f"{stem}.mlp.selected_{m}.nc" for m in ("adamw", "adam_l2", "no_decay")}
    files = {path.name for path in tmp_path.iterdir()} - {".unfinished"}
    assert files == cells | arms | {f"{stem}.png", f"{stem}.svg"}
    saved = sweep.load(tmp_path / f"{stem}.mlp.adamw.nc")
    assert saved.decay.values[0] == 0.0
    assert np.isfinite(saved.train_loss).all()
    assert any("budgets" in line for line in said)
