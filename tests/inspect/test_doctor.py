"""The doctor's numbers against sums by hand, its reports and its sentences."""

import json
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.inspect.examined import (
    MATRICES,
    NETWORK,
    examined,
    shape,
)
from wdjax.inspect import findings as findings_


def test_a_healthy_run_has_no_finding():
    diagnosis = examined()
    assert diagnosis.findings == ()
    assert diagnosis.exit_code == 0
    assert "Nothing was found." in str(diagnosis)


def test_the_numbers_of_a_constant_rate_are_those_by_hand():
    d = examined(batch_size=50, examples=2000)
    delta = 0.5 * 1e-2
    assert d.budget == pytest.approx(5.0, rel=1e-12)
    assert d.initial_weight_left == pytest.approx((1 - delta) ** 1000, rel=1e-9)
    assert d.largest_rate == delta
    assert d.timescale_in_steps == 200
    assert d.timescale_in_epochs == 200 * 50 / 2000
    assert d.timescale_over_horizon == 0.2
    assert (1 - delta) ** d.half_life_in_steps == pytest.approx(0.5, rel=1e-12)
    assert examined().timescale_in_epochs is None


def test_the_half_life_of_the_smallest_rates_keeps_its_digits():
    d = examined(weight_decay=1e-10, learning_rate=1e-5)
    assert d.half_life_in_steps == pytest.approx(np.log(2) / 1e-15, rel=1e-12)


CONVENTIONS = {
    "OPTAX": lambda lam, alpha_t, alpha: lam * alpha_t,
    "PAPER": lambda lam, alpha_t, alpha: lam * alpha_t / alpha,
    "CONSTANT": lambda lam, alpha_t, alpha: lam + 0 * alpha_t,
    "CORRECTED": lambda lam, alpha_t, alpha: lam * alpha_t**2 / alpha,
    "SQUARED": lambda lam, alpha_t, alpha: lam * alpha_t**2,
}


@pytest.mark.parametrize(("name", "rule"), CONVENTIONS.items(), ids=CONVENTIONS)
def test_a_schedule_is_summed_step_by_step_under_each_convention(name, rule):
    """Warm-up and cosine, written out in NumPy."""
    peak, warmup, steps, lam = 0.05, 20, 300, 0.2
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps, 0.001)
    t = np.arange(steps)
    cosine = 0.5 * (1 + np.cos(np.pi * (t - warmup) / (steps - warmup)))
    alpha_t = np.where(t < warmup, peak * t / warmup, 0.001 + (peak - 0.001) * cosine)
    delta = rule(lam, alpha_t, peak)
    d = wdjax.doctor(
        MATRICES,
        learning_rate=schedule,
        weight_decay=lam,
        steps=steps,
        convention=getattr(wdjax, name),
        peak_learning_rate=peak,
    )
    # Optax's schedules are float32.
    assert d.budget == pytest.approx(delta.sum(), rel=1e-6)
    assert d.initial_weight_left == pytest.approx(np.prod(1 - delta), rel=1e-4)
    assert d.largest_rate == pytest.approx(delta.max(), rel=1e-6)
    assert d.timescale_in_steps == pytest.approx(1 / delta.max(), rel=1e-6)
    assert d.timescale_over_horizon == pytest.approx(1 / delta.max() / 300, rel=1e-6)


def test_a_schedule_of_the_decay_itself_counts_too():
    d = examined(weight_decay=lambda t: jnp.where(t < 100, 0.5, 0.0))
    assert d.budget == pytest.approx(100 * 0.5 * 1e-2)
    assert d.initial_weight_left == pytest.approx(0.995**100)


def test_what_is_left_is_what_a_run_without_gradients_leaves():
    schedule = optax.cosine_decay_schedule(0.1, 50)
    theta = jnp.ones((2, 2), jnp.float64)
    optimizer = wdjax.sgdw(schedule, 0.5)
    state = optimizer.init(theta)
    for _ in range(50):
        u, state = optimizer.update(jnp.zeros_like(theta), state, theta)
        theta = theta + u
    d = examined(theta, learning_rate=schedule, base="sgd", steps=50)
    # The schedule is float32, the numbers float64: 50 roundings of 2⁻²⁴ each.
    np.testing.assert_allclose(theta, d.initial_weight_left, rtol=50 * 2.0**-24)


def test_the_budget_of_l2_in_front_of_sgd_is_that_of_its_fixed_point():
    d = examined(
        weight_decay=0.0, l2=0.01, learning_rate=0.02, base="sgd", momentum=0.9
    )
    assert d.budget == pytest.approx(1000 * 0.02 * 0.01 / (1 - 0.9), rel=1e-12)
    without = examined(weight_decay=0.0, l2=0.01, learning_rate=0.02, base="sgd")
    assert without.budget == pytest.approx(1000 * 0.02 * 0.01, rel=1e-12)
    assert without.initial_weight_left == pytest.approx((1 - 2e-4) ** 1000)


def test_l2_and_decay_add_up_in_front_of_sgd():
    d = examined(l2=0.01, base="sgd", momentum=0.5)
    assert d.budget == pytest.approx(1000 * (0.5e-2 + 1e-2 * 0.01 / 0.5), rel=1e-12)
    assert d.equilibrium_rotation is None


def test_the_equilibrium_is_that_of_the_closed_forms_at_the_peak():
    """Written out again; the forms themselves are tested in tests/theory."""
    delta, alpha, b = 5e-3, 1e-2, 0.9
    adam = examined()
    angle = np.arccos((1 - delta + b) / (1 + (1 - delta) * b))
    assert adam.equilibrium_rotation == pytest.approx(angle, rel=1e-9)
    assert adam.equilibrium_rms == pytest.approx(alpha / np.sqrt(2 * delta), rel=0.05)
    sgd = examined(base="sgd", momentum=0.9)
    assert sgd.equilibrium_rotation == pytest.approx(angle, rel=1e-9)
    assert sgd.equilibrium_rms is None
    plain = examined(base="sgd")
    assert plain.equilibrium_rotation == pytest.approx(np.arccos(1 - delta), rel=1e-9)
    l2 = examined(weight_decay=0.0, l2=0.5, base="sgd", momentum=0.9)
    angle = np.arccos(1 - delta / 1.9)
    assert l2.equilibrium_rotation == pytest.approx(angle, rel=1e-9)
    warm = optax.linear_schedule(0.0, 1e-2, 100)
    at_peak = examined(learning_rate=warm)
    assert at_peak.equilibrium_rms == pytest.approx(adam.equilibrium_rms, rel=1e-6)
    assert at_peak.equilibrium_rotation == pytest.approx(
        adam.equilibrium_rotation, rel=1e-6
    )


@pytest.mark.parametrize(("b1", "b2"), [(None, None), (0.95, 0.98)])
def test_lion_s_equilibrium_has_its_own_memory(b1, b2):
    """Against the published leading order, which has arcsin c ≈ c: 3 % off at most."""
    d = examined(base="lion", weight_decay=1e-4, momentum=b1, b2=b2)
    b1, b2, delta = b1 or 0.9, b2 or 0.99, 1e-6
    share = (1 - b1) ** 2 + b1**2 * (1 - b2) / (1 + b2)
    published = np.sqrt(np.pi * delta * share)
    assert d.equilibrium_rotation == pytest.approx(published, rel=0.03)
    # A sign has variance 1, so that RMS·rotation = α at small δ.
    assert d.equilibrium_rms * published == pytest.approx(1e-2, rel=0.03)


def test_what_is_not_known_is_none():
    other = examined(base="other")
    assert (other.equilibrium_rms, other.equilibrium_rotation) == (None, None)
    assert other.budget == pytest.approx(5.0)
    adam_l2 = examined(weight_decay=0.0, l2=0.1)
    for field in ("budget", "initial_weight_left", "largest_rate", "equilibrium_rms"):
        assert getattr(adam_l2, field) is None
    assert "unknown" in str(adam_l2)


def test_errors_fail_and_warnings_fail_only_strictly():
    assert examined(weight_decay=200.0).exit_code == 1
    warned = {"weight_decay": 0.05}  # Σδ_t = 0.5
    assert examined(**warned).exit_code == 0
    assert examined(**warned, strict=True).exit_code == 1
    noted = {"weight_decay": 0.2}  # Σδ_t = 2
    assert {f.severity for f in examined(**noted).findings} == {"note"}
    assert examined(**noted, strict=True).exit_code == 0


def test_an_ignored_finding_neither_shows_nor_fails():
    d = examined(NETWORK, ignore=["embeddings-decay", "vectors-decay"])
    assert {f.name for f in d.findings} == {"norms-and-biases-decay"}
    with pytest.raises(ValueError, match=r"Did you mean 'embeddings-decay'\?"):
        examined(ignore=["embedings-decay"])
    with pytest.raises(ValueError, match=r"give a list of names"):
        examined(ignore="embeddings-decay")


def test_the_worst_comes_first():
    order = [f.severity for f in examined(NETWORK, weight_decay=200.0, l2=1.0).findings]
    assert order == sorted(order, key=("error", "warning", "note").index)
    assert set(order) == {"error", "warning", "note"}


def test_a_report_fits_its_columns_and_says_everything():
    many = {f"block_{i}": {"bias": shape(4), "kernel": shape(4, 4)} for i in range(30)}
    d = examined(many, weight_decay=0.05, batch_size=32, examples=1000)
    text = str(d)
    assert max(map(len, text.splitlines())) <= 88
    assert "block_0/bias, block_1/bias, block_10/bias" in text
    assert "block_15/bias and 22 more" in " ".join(text.split())
    for number in ("0.5", "0.60645", "2000 steps, 64 epochs", "1385.9 steps", "60 of"):
        assert number in text
    for finding in d.findings:
        assert f"{finding.severity}: {finding.name}" in text
    assert f"{d.equilibrium_rotation:.4g} rad" in text


def test_the_json_is_the_numbers_and_the_findings():
    d = examined(NETWORK)
    read = json.loads(json.dumps(d.to_dict(), allow_nan=False))
    assert read["budget"] == d.budget
    assert read["timescale_over_horizon"] == 0.2
    assert read["pulled"] == list(d.pulled)
    assert read["exit_code"] == 0
    assert [f["name"] for f in read["findings"]] == [f.name for f in d.findings]
    assert read["findings"][0]["leaves"] == list(d.findings[0].leaves)
    assert read["findings"][0].keys() == {
        "severity",
        "name",
        "what",
        "remedy",
        "leaves",
    }
    empty = examined(weight_decay=0.0).to_dict()
    assert empty["timescale_in_steps"] is None  # infinite, for which JSON has no word
    assert empty["budget"] == 0
    json.dumps(examined(weight_decay=lambda t: jnp.nan).to_dict(), allow_nan=False)


def test_arrays_and_their_shapes_are_examined_alike():
    arrays = {"w": jnp.ones((2, 2), jnp.bfloat16), "b": jnp.ones(2)}
    assert examined(arrays) == examined(jax.eval_shape(lambda: arrays))
    chex.assert_trees_all_equal(arrays["b"], jnp.ones(2))


def test_every_kind_is_found_by_some_test_and_has_a_sentence():
    """Each remedy ends like a sentence, and no kind is without a test by its name."""
    tests = Path(__file__).parent.glob("test_doctor*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    for name, kind in findings_.KINDS.items():
        assert f'"{name}"' in source, name
        assert kind.severity in findings_.SEVERITIES
    for finding in examined(NETWORK, l2=0.1, weight_decay=0.05).findings:
        assert finding.what.endswith((".", ")"))
        assert finding.remedy.endswith(".")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, r"steps is 0; give the run's steps"),
        ({"steps": True}, r"steps is True"),
        ({"weight_decay": -1.0}, r"weight_decay is -1"),
        ({"l2": -1.0}, r"l2 is -1"),
        ({"base": "adamw"}, r"base is 'adamw'\. Did you mean 'adam'\?"),
        ({"momentum": 1.0}, r"momentum is 1; it must be at least 0 and below 1"),
        ({"b2": 1.0}, r"b2 is 1"),
        ({"batch_size": 3}, r"give examples too"),
        ({"examples": 3}, r"give batch_size too"),
        ({"examples": 3, "batch_size": 0}, r"batch_size is 0"),
        ({"examples": -3, "batch_size": 1}, r"examples is -3"),
        ({"optimizer": optax.sgd(1.0), "where": True}, r"Drop where\."),
        ({"trainable": "matrices"}, r"where is the string 'matrices'"),
        (
            {"learning_rate": lambda t: 1.0, "convention": wdjax.PAPER},
            r"give peak_learning_rate",
        ),
        (
            {"learning_rate": lambda t: 1.0 if t < 3 else 0.1},
            r"learning_rate is a schedule that cannot be traced",
        ),
        (
            {"learning_rate": lambda t: jnp.ones(2)},
            r"learning_rate is a schedule whose value has shape \(2,\)",
        ),
    ],
)
def test_bad_input_meets_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        examined(**changes)


@pytest.mark.usefixtures("untyped")
def test_steps_may_be_an_integer_of_numpy():
    assert examined(steps=np.int64(100)) == examined(steps=100)
    json.dumps(examined(steps=np.int64(100)).to_dict(), allow_nan=False)


def test_a_traced_rate_meets_a_sentence():
    def traced(rate):
        return examined(weight_decay=rate).budget

    with pytest.raises(ValueError, match=r"weight_decay is traced"):
        jax.jit(traced)(0.1)
