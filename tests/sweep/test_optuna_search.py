"""Optuna's proposals are trained as asked, and told as they came out."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep

RANGES = {
    "learning_rate": sweep.LogUniform(1e-4, 1.0),
    "decay": sweep.Uniform(-1.0, 1.0),
}
SEEDS = (3, 1)


@pytest.fixture
def optuna():
    optuna = pytest.importorskip("optuna", reason="an extra: wdjax[search]")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield optuna
    optuna.logging.set_verbosity(before)


def bowl(rate, decay):
    return (np.log10(rate) + 2) ** 2 + decay**2


def train(data, h, key):
    """A bowl with its least value at (0.01, 0); no draws from the key."""
    x = (jnp.log10(h["learning_rate"]) + 2) ** 2 + h["decay"] ** 2 + data
    return {"loss": jnp.stack([x, 2 * x]), "bowl": x}


def search(train=train, ranges=RANGES, **options):
    options = {"seed": SEEDS, "batch": 4, "rounds": 3, "metric": "bowl"} | options
    return sweep.search(train, ranges, jnp.zeros(()), **options)


def test_what_is_asked_is_trained_and_what_comes_out_is_told(optuna):
    result, study = search()
    assert dict(result.sizes) == {"seed": 2, "point": 12, "record": 2}
    expected = bowl(result.learning_rate, result.decay)
    for seed in SEEDS:  # XLA's logarithm and NumPy's: rounding
        np.testing.assert_allclose(result.bowl.sel(seed=seed), expected, rtol=1e-12)
    np.testing.assert_array_equal(result.trial, np.arange(12))
    np.testing.assert_array_equal(result["round"], np.repeat([0, 1, 2], 4))
    for trial in study.trials:
        point = result.isel(point=trial.number)
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert trial.params == {n: float(point[n]) for n in RANGES}
        np.testing.assert_allclose(trial.value, expected[trial.number], rtol=1e-12)


def test_the_proposals_are_optunas_own(optuna):
    """The same sampler, asked and told by hand, in closed form."""
    result, _ = search(sampler_seed=7, rounds=5)  # TPE begins after 10 trials
    sampler = optuna.samplers.TPESampler(seed=7, constant_liar=True)
    study = optuna.create_study(sampler=sampler)
    space = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "decay": optuna.distributions.FloatDistribution(-1.0, 1.0),
    }
    for number in range(5):
        asked = [study.ask(space) for _ in range(4)]
        for i, trial in enumerate(asked):
            rate, decay = trial.params["learning_rate"], trial.params["decay"]
            point = result.isel(point=4 * number + i)
            # Rounding of what is told may move what is asked after it.
            np.testing.assert_allclose(point.learning_rate, rate, rtol=1e-6)
            np.testing.assert_allclose(point.decay, decay, rtol=1e-6)
            study.tell(trial, bowl(rate, decay))


def test_it_finds_the_bottom(optuna):
    """Of 15 rounds the last are lower than the first, by far."""
    result, study = search(batch=8, rounds=15)
    bottom = result.bowl.mean("seed").groupby("round").median()
    assert bottom[-3:].mean() < 0.2 * bottom[0]
    assert study.best_value < 0.05


def test_a_real_training_is_searched(optuna, dataset, linear):
    real = sweep.make_train(*linear, steps=6, batch_size=6, records=2)
    data = sweep.arrays(dataset)
    options = {"seed": [0], "batch": 3, "rounds": 2, "record_steps": np.array([3, 6])}
    result, study = sweep.search(real, RANGES, data, **options)
    np.testing.assert_array_equal(result.loss.record, [3, 6])
    hypers = {n: result[n].values for n in RANGES}
    alone = sweep.run(real, sweep.points([0], **hypers), data)
    for name in alone:  # another layout: rounding of 6 steps
        np.testing.assert_allclose(result[name], alone[name], rtol=1e-10)
    told = [trial.value for trial in study.trials]
    np.testing.assert_allclose(told, alone.validation_loss[0], rtol=1e-10)


def test_of_a_curve_the_last_is_told(optuna):
    result, study = search(metric="loss")
    told = [trial.value for trial in study.trials]
    np.testing.assert_allclose(told, 2 * result.bowl[0], rtol=1e-15)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_what_diverges_for_one_seed_is_told_as_failed(optuna, bad):
    def diverging(data, h, key):
        unlucky = (h["decay"] > 0) & (key == jax.random.key(1))
        return {"bowl": jnp.where(unlucky, bad, h["decay"])}

    result, study = search(diverging)
    fates = {trial.number: trial.state for trial in study.trials}
    fail, complete = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.COMPLETE
    for number, decay in enumerate(result.decay.values):
        assert fates[number] == (fail if decay > 0 else complete)
    assert set(fates.values()) == {fail, complete}
    assert np.isfinite(result.bowl.sel(seed=3)).all()


def test_all_rounds_are_one_program(optuna):
    def traces(rounds):
        calls = []

        def counted(data, h, key):
            calls.append(1)
            return train(data, h, key)

        search(counted, rounds=rounds)
        return len(calls)

    assert traces(1) == traces(4)


def test_a_study_of_ones_own_goes_on(optuna):
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    search(study=study, rounds=1)
    result, same = search(study=study, rounds=1)
    assert same is study
    np.testing.assert_array_equal(result.trial, [4, 5, 6, 7])
    assert study.best_value == max(trial.value for trial in study.trials)


def test_trials_of_a_round_that_does_not_end_are_told_as_failed(optuna, monkeypatch):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def stop(self, flight):
        raise KeyboardInterrupt

    def stop_the_second(done, study):
        monkeypatch.setattr("wdjax.sweep.study.Study.advance", stop)

    with pytest.raises(KeyboardInterrupt):
        search(study=study, progress=stop_the_second)
    fail, complete = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.COMPLETE
    assert [trial.state for trial in study.trials] == [complete] * 4 + [fail] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch is 0 and rounds is 3"),
        ({"rounds": 0}, "rounds is 0; both must be at least 1"),
        ({"metric": "lost"}, "no number 'lost'; take one of"),
        ({"ranges": {"a": sweep.LogUniform(0.0, 1.0)}}, "needs low > 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(optuna, options, message):
    with pytest.raises(ValueError, match=message):
        search(**options)


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install \"wdjax\[search\]\""):
        search()
