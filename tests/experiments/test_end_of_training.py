"""The end of training: its verdicts, its files, and predictions that are wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import end_of_training
from experiments.harness.annealed import METHODS, Annealing
from experiments.harness.workspace import Workspace
from tests.experiments.judging import by_claim, those
from wdjax.stats import Verdict

CONFIG = end_of_training.Config()
RIGHT = end_of_training.predict(CONFIG)
WIGGLE = 1 + 1e-3 * np.linspace(-1, 1, CONFIG.seeds)[:, None, None]
NAMES = ("hidden_0/kernel", "output/kernel")


def as_predicted(names, plan):
    """Of each optimizer, ratios in which all is as predicted."""
    eta = np.geomspace(1, 1 / plan.factor, 20)

    def of(name):
        sizes = (1_000, 50)[: len(names)]
        predicted = np.array(
            [[RIGHT.ratio[name](plan, e, d) for d in sizes] for e in eta]
        )
        measured = predicted * WIGGLE
        return end_of_training.Ratios(
            eta, eta < 1, measured, predicted, measured, names
        )

    return {name: of(name) for name in METHODS}


FINE = end_of_training.Measured(
    as_predicted(("layer",), CONFIG.walk), as_predicted(NAMES, CONFIG.network), "none"
)


def verdicts(measured=FINE, predictions=RIGHT, config=CONFIG):
    return by_claim(end_of_training.judge(config, predictions, measured))


def test_a_smoke_run_writes_both_files_and_four_findings_for_each_optimizer(
    tmp_path, monkeypatch
):
    """AdamW's, and SGD's corrected one, as from the command line."""
    said, two = [], ("AdamW", "SGD+L2, corrected")
    few = {name: METHODS[name] for name in two}
    monkeypatch.setattr(end_of_training, "METHODS", few)
    with jax.enable_x64(False):
        outcome = end_of_training.run(
            end_of_training.SMOKE, Workspace(tmp_path / "new", said.append)
        )
    assert said
    assert len(outcome.findings) == 8
    assert all(np.isfinite(finding.interval).all() for finding in outcome.findings)
    files = {file.name for file in (tmp_path / "new").iterdir()}
    assert files == {"end_of_training.svg", "end_of_training.png"}


def test_a_longer_walk_of_sgd_follows_theory():
    """64 weights, a lag of 1/(4δT) = 5 % of ‖w‖⁴: some 5 % of a ratio are left."""
    plan = Annealing(decay_rate=0.02, steady=500, falling=1_000)
    config = dataclasses.replace(end_of_training.SMOKE, walk=plan, records=30)
    with jax.enable_x64(False):
        found = end_of_training.measure_walk(config, RIGHT, "SGD+L2")
    assert end_of_training.quotients(found) == pytest.approx(1.0, abs=0.1)
    assert end_of_training.exponents(found).mean() == pytest.approx(-0.5, abs=0.1)


def test_all_pass_when_all_is_as_predicted():
    found = verdicts()
    assert len(found) == 16
    assert those(Verdict.PASS, found) == list(found)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("where", "tolerance"), [("walks", 0.05), ("networks", 0.2)])
def test_a_ratio_moved_by_three_tolerances_fails(name, where, tolerance):
    all_found = getattr(FINE, where)
    found = all_found[name]
    moved = found._replace(predicted=found.predicted * (1 + 3 * tolerance))
    failed = those(
        Verdict.FAIL, verdicts(FINE._replace(**{where: all_found | {name: moved}}))
    )
    assert len(failed) == 1
    assert failed[0].startswith(f"{name}, ")
    assert "over its prediction" in failed[0]


@pytest.mark.parametrize("name", METHODS)
def test_an_exponent_moved_by_three_tolerances_fails_in_walk_and_network(name):
    moved = RIGHT.exponents | {name: RIGHT.exponents[name] + 3 * 0.1}
    failed = those(Verdict.FAIL, verdicts(predictions=RIGHT._replace(exponents=moved)))
    assert len(failed) == 2
    assert all(claim.startswith(f"{name}, ") for claim in failed)
    assert all("exponent" in claim for claim in failed)


def test_one_layer_that_is_far_fails_the_network():
    found = FINE.networks["AdamW"]
    off = found.measured.copy()
    off[..., 1] *= 1.5
    moved = FINE.networks | {"AdamW": found._replace(measured=off)}
    failed = those(Verdict.FAIL, verdicts(FINE._replace(networks=moved)))
    assert failed == ["AdamW, network: ‖g‖/(√L‖w‖) over its prediction."]


def test_two_seeds_decide_nothing():
    found = verdicts(config=dataclasses.replace(CONFIG, seeds=2))
    assert those(Verdict.INCONCLUSIVE, found) == list(found)


def test_the_exponents_are_minus_a_half_zero_minus_one_and_zero():
    assert [RIGHT.exponents[name] for name in METHODS] == [-0.5, 0.0, -1.0, 0.0]


@pytest.mark.parametrize("name", METHODS)
def test_each_optimizer_decays_by_what_is_said(name):
    """With no gradient at all AdamW's weights shrink by δ_t; SGD's momentum by less."""
    method, plan = METHODS[name], Annealing(decay_rate=1e-3, steady=2, falling=4)
    optimizer = method.optimizer(plan, 0.99)
    w = jnp.array([3.0])
    state = optimizer.init(w)
    for t in range(6):
        u, state = optimizer.update(jnp.zeros(1), state, w)
        if method.adam:
            eta = float(plan.multiplier(t))
            assert -u[0] / w[0] == pytest.approx(1e-3 * eta**method.a, rel=1e-9)
        elif t == 0:
            assert -u[0] / w[0] == pytest.approx(1e-3 * 0.1, rel=1e-9)
        w = w + u


@pytest.mark.parametrize("a", [1, 2])
def test_the_budget_is_the_sum_of_the_decay_rates(a):
    """Steps of 1 beside a horizon of 2,500: the integral is the sum to 1e-3."""
    plan = Annealing(decay_rate=2e-3, steady=700, falling=10_000)
    eta = np.asarray(plan.multiplier(jnp.arange(plan.steps)))
    assert plan.budget(a) == pytest.approx(np.sum(2e-3 * eta**a), rel=1e-3)
    assert plan.multiplier(plan.steps) == pytest.approx(1 / plan.factor)
