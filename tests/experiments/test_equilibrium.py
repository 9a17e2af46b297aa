"""The verdicts on equilibria: their files, and predictions that are wrong."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments import equilibrium
from experiments.harness.equilibrium_panels import Sizes, exponents
from experiments.harness.workspace import Workspace
from tests.experiments.judging import by_claim, those
from wdjax.stats import Verdict

CONFIG = equilibrium.Config()
RIGHT = equilibrium.predict(CONFIG)
LEVELS = np.geomspace(0.2, 5, CONFIG.levels)
WIGGLE = 1 + 1e-3 * np.linspace(-1, 1, CONFIG.seeds)  # what seeds differ by


def as_predicted(predictions=RIGHT):
    """What a run would give in which all is as predicted."""
    return equilibrium.Measured(
        {
            name: equilibrium.Walks(walk.rms * WIGGLE, walk.rotation * WIGGLE)
            for name, walk in predictions.walks.items()
        },
        {
            name: Sizes(LEVELS, LEVELS ** (exponent * WIGGLE[:, None]))
            for name, exponent in predictions.exponents.items()
        },
        {
            name: np.full((CONFIG.seeds, 3), rotation)
            for name, rotation in predictions.rotations.items()
        },
        ("hidden_0/kernel", "hidden_1/kernel", "output/kernel"),
        "none",
    )


def verdicts(predictions=RIGHT, config=CONFIG, measured=None):
    measured = as_predicted() if measured is None else measured
    return by_claim(equilibrium.judge(config, predictions, measured))


def test_a_smoke_run_writes_both_files_and_a_finding_for_each_sentence(
    tmp_path, monkeypatch
):
    """Two walks, one exponent and one network, as from the command line."""

    def fewer(config):
        all_of_them = original(config)
        return equilibrium.Predictions(
            {name: all_of_them.walks[name] for name in ("AdamW", "Adam+L2")},
            {"SGD+L2": all_of_them.exponents["SGD+L2"]},
            {"SGD+L2": all_of_them.rotations["SGD+L2"]},
        )

    original, said = equilibrium.predict, []
    monkeypatch.setattr(equilibrium, "predict", fewer)
    with jax.enable_x64(False):
        outcome = equilibrium.run(
            equilibrium.SMOKE, Workspace(tmp_path / "new", said.append)
        )
    assert said
    assert len(outcome.findings) == 6
    assert all(np.isfinite(finding.interval).all() for finding in outcome.findings)
    # A budget of 6 and 256 weights: 3 % of sampling, and v̂ has not forgotten its start.
    for finding in outcome.findings[:4]:
        assert finding.interval.estimate == pytest.approx(1.0, abs=0.15)
    assert outcome.findings[4].interval.estimate == pytest.approx(1.0, abs=0.15)
    files = {file.name for file in (tmp_path / "new").iterdir()}
    assert files == {"equilibrium.svg", "equilibrium.png"}


def test_all_pass_when_all_is_as_predicted():
    found = verdicts()
    assert len(found) == 13
    assert those(Verdict.PASS, found) == list(found)


@pytest.mark.parametrize("name", RIGHT.walks)
@pytest.mark.parametrize("field", ["rms", "rotation"])
def test_a_walk_s_prediction_moved_by_three_tolerances_fails(name, field):
    walk = RIGHT.walks[name]
    moved = walk._replace(**{field: getattr(walk, field) * (1 + 3 * 0.02)})
    failed = those(
        Verdict.FAIL, verdicts(RIGHT._replace(walks=RIGHT.walks | {name: moved}))
    )
    quantity = {"rms": "RMS", "rotation": "angle per step"}[field]
    assert failed == [f"{name}, random walk: {quantity} over its prediction."]


@pytest.mark.parametrize("name", RIGHT.exponents)
def test_an_exponent_moved_by_three_tolerances_fails(name):
    moved = RIGHT.exponents | {name: RIGHT.exponents[name] + 3 * 0.03}
    failed = those(Verdict.FAIL, verdicts(RIGHT._replace(exponents=moved)))
    assert failed == [
        f"{name}, random walk: exponent of a weight's size in its gradient's."
    ]


@pytest.mark.parametrize("name", RIGHT.rotations)
def test_a_network_s_rotation_moved_by_three_tolerances_fails(name):
    moved = RIGHT.rotations | {name: RIGHT.rotations[name] * (1 + 3 * 0.15)}
    failed = those(Verdict.FAIL, verdicts(RIGHT._replace(rotations=moved)))
    assert len(failed) == 1
    assert failed[0].startswith(f"{name}, network")


def test_one_layer_of_three_beside_the_band_is_too_many():
    measured = as_predicted()
    off = measured.rotations["AdamW"].copy()
    off[:, 1] *= 1.2
    moved = measured._replace(rotations=measured.rotations | {"AdamW": off})
    failed = those(Verdict.FAIL, verdicts(measured=moved))
    assert len(failed) == 1


def test_two_seeds_decide_nothing():
    found = verdicts(config=dataclasses.replace(CONFIG, seeds=2))
    assert those(Verdict.INCONCLUSIVE, found) == list(found)


def test_all_walks_have_the_rate_of_decay_that_is_said():
    """Adam with L2's is αλ₂ by the size of a gradient at the norm that is reached."""
    for name, walk in RIGHT.walks.items():
        alpha, decay = equilibrium.walk_rates(CONFIG, name)
        delta = alpha * decay
        if name == "SGD+L2":
            delta /= 0.1
        if name == "Adam+L2":
            delta /= CONFIG.gradient_norm / (CONFIG.size * walk.rms)
        # Adam's own RMS is AdamW's to δ, by which the size of its gradient is off.
        assert delta == pytest.approx(CONFIG.decay_rate, rel=0.05)


def test_the_exponent_is_that_of_a_power():
    sizes = Sizes(LEVELS, np.stack([LEVELS**0.5, 3 * LEVELS**0.7]))
    np.testing.assert_allclose(exponents(sizes), [0.5, 0.7], rtol=1e-12)


def test_another_network_is_refused():
    config = dataclasses.replace(CONFIG, model="resnet20")
    with pytest.raises(ValueError, match="resnet20"):
        equilibrium.make_model(config, 10)
