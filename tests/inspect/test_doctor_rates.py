"""What the doctor finds in rates and dtypes, each finding beside its neighbour."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.inspect.examined import examined, leaves_of, names, shape
from wdjax.inspect.leaf_findings import rounding


def test_a_rate_of_one_overshoots_and_of_two_diverges():
    rates = {0.999: set(), 1.0: {"rate-overshoots"}, 1.999: {"rate-overshoots"}}
    rates |= {2.0: {"rate-diverges"}, 7.0: {"rate-diverges"}}
    for rate, expected in rates.items():
        found = names(weight_decay=rate, learning_rate=1.0)
        assert found & {"rate-overshoots", "rate-diverges"} == expected, rate
        assert ("budget-huge" in found) is (rate < 1)


def test_what_is_said_of_divergence_is_what_weights_do():
    """Decay alone: |1 − δ|^T."""
    for rate, grows in ((1.9, False), (2.1, True)):
        overshooting = {"weight_decay": rate, "learning_rate": 1.0, "steps": 999}
        left = examined(**overshooting).initial_weight_left
        assert (left > 1) is grows
        assert left > 0  # also where an odd number of steps turns the sign
        assert ("rate-diverges" in names(weight_decay=rate, learning_rate=1.0)) is grows


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_l2_in_front_of_heavy_ball_diverges_where_it_is_said_to(beta):
    def largest_root(alpha_l2):
        return float(np.abs(np.roots([1, -(1 + beta - alpha_l2), beta])).max())

    for alpha_l2 in (0.99 * 2 * (1 + beta), 1.01 * 2 * (1 + beta)):
        found = names(
            weight_decay=0.0, l2=alpha_l2, learning_rate=1.0, base="sgd", momentum=beta
        )
        assert ("rate-diverges" in found) is (largest_root(alpha_l2) > 1)
        assert ("rate-overshoots" in found) is (largest_root(alpha_l2) <= 1)


def test_the_largest_multiplier_decides_what_overshoots():
    where = wdjax.where.by_path({"dense/kernel": 3.0})
    assert "rate-overshoots" in names(where=where, weight_decay=40.0)
    assert "rate-overshoots" not in names(where=where, weight_decay=30.0)
    assert "rate-overshoots" not in names(weight_decay=40.0)


def over(learning_rate):
    return lambda t: 0.005 / learning_rate(t)


def test_a_decay_over_the_learning_rate_is_nan_at_the_start_of_a_warmup():
    for start, bad in ((0.0, True), (1e-4, False)):
        warmup = optax.linear_schedule(start, 1e-2, 10)
        d = examined(learning_rate=warmup, weight_decay=over(warmup))
        found = [f for f in d.findings if f.name == "rate-not-finite"]
        assert bool(found) is bad
        assert d.largest_rate == pytest.approx(0.005, rel=1e-6)
        if bad:
            assert "in step 0" in found[0].what
            assert np.isnan(d.budget)
            assert d.exit_code == 1


def test_an_infinite_rate_is_no_number():
    d = examined(weight_decay=lambda t: jnp.where(t == 7, jnp.inf, 0.5))
    (found,) = (f for f in d.findings if f.severity == "error")
    assert found.name == "rate-not-finite"
    assert "in step 7" in found.what
    assert d.largest_rate == pytest.approx(0.005)
    everywhere = examined(weight_decay=lambda t: jnp.inf)
    assert everywhere.largest_rate == 0


def test_a_schedule_that_falls_below_zero_makes_weights_grow():
    def falling(t):
        return 1e-2 * (1 - t / 900)

    assert "rate-negative" in names(learning_rate=falling)
    assert "rate-negative" not in names(learning_rate=falling, steps=900)
    assert examined(weight_decay=lambda t: -1.0).largest_rate == 0


def test_a_tiny_and_a_huge_budget_are_warned_of():
    near = {"budget-tiny", "budget-huge", "timescale-beyond-run"}

    def of_budget(total):
        return near & names(weight_decay=total / 1000, learning_rate=1.0)

    assert of_budget(0.0099) == {"budget-tiny"}
    assert of_budget(0.0101) == {"timescale-beyond-run"}
    assert of_budget(0.99) == {"timescale-beyond-run"}
    assert of_budget(1.01) == set()
    assert of_budget(99.0) == set()
    assert of_budget(101.0) == {"budget-huge"}


def test_a_budget_below_three_does_not_reach_equilibrium():
    for total, expected in ((2.99, True), (3.01, False)):
        found = names(weight_decay=total / 1000, learning_rate=1.0)
        assert ("equilibrium-not-reached" in found) is expected
        other = names(weight_decay=total / 1000, learning_rate=1.0, base="other")
        assert "equilibrium-not-reached" not in other  # none is predicted


def test_l2_in_front_of_an_adaptive_method_cannot_be_predicted():
    assert "l2-not-predictable" in names(weight_decay=0.0, l2=0.1)
    assert "l2-not-predictable" in names(weight_decay=0.0, l2=0.1, base="lion")
    assert "l2-not-predictable" not in names(weight_decay=0.0, l2=0.1, base="sgd")
    assert "l2-not-predictable" not in names()


def fraction_moved(delta, dtype, steps):
    """Of every mantissa of a binade, those that steps of decay have moved at last."""
    bits = min(jnp.finfo(dtype).nmant, 12)
    theta = jnp.asarray(1 + np.arange(2**bits) / 2**bits, dtype)
    if bits == 12:  # not every mantissa: the last bits too
        theta = jnp.nextafter(theta, jnp.asarray(2, dtype))
    theta = jnp.append(theta, jnp.asarray(1, dtype))

    @jax.jit
    def decayed(theta):
        decay = wdjax.decay_weights(delta)

        def step(theta, _):
            u, _ = decay.update(jnp.zeros_like(theta), decay.init(theta), theta)
            return optax.apply_updates(theta, u), None

        return jax.lax.scan(step, theta, length=steps)[0]

    return float(np.mean(np.asarray(decayed(theta) != theta)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_what_is_said_of_rounding_is_what_a_thousand_decays_do(dtype):
    none, every = rounding(dtype)
    params = {"kernel": shape(3, 2, dtype=dtype)}

    def found(delta):
        kinds = {"no-op-in-dtype", "rounded-in-dtype"}
        return kinds & names(params, weight_decay=delta, learning_rate=1.0)

    assert fraction_moved(none, dtype, 1000) == 0
    assert found(none) == {"no-op-in-dtype"}
    assert 0 < fraction_moved(1.5 * none, dtype, 1000) < 1
    assert found(1.5 * none) == {"rounded-in-dtype"}
    assert found(none * (1 + 1e-6)) == {"rounded-in-dtype"}
    assert fraction_moved(every, dtype, 1) == 1
    assert found(every) == set()
    assert found(every * (1 - 1e-6)) == {"rounded-in-dtype"}


def test_the_thresholds_of_bfloat16_and_float16_are_the_known_ones():
    assert rounding(jnp.bfloat16) == (2.0**-9, 2.0**-8)
    assert rounding(jnp.float16) == (2.0**-12, 2.0**-11)
    assert rounding(jnp.float32) == (2.0**-25, 2.0**-24)
    assert rounding(jnp.complex64) == rounding(jnp.float32)


def test_only_the_narrow_leaves_are_named_and_only_if_they_decay():
    params = {
        "a": {"kernel": shape(3, 2, dtype=jnp.bfloat16)},
        "b": {"kernel": shape(3, 2)},
    }
    rates = {"weight_decay": 0.1, "learning_rate": 1e-3}
    assert leaves_of("no-op-in-dtype", params, **rates) == ("a/kernel",)
    only_b = wdjax.where.by_path({"a/.*": 0.0, "b/.*": 1.0})
    assert leaves_of("no-op-in-dtype", params, where=only_b, **rates) is None
    a_strongly = wdjax.where.by_path({"a/.*": 50.0, "b/.*": 1.0})
    assert leaves_of("no-op-in-dtype", params, where=a_strongly, **rates) is None
    l2 = {"weight_decay": 0.0, "l2": 0.1, "base": "sgd", "learning_rate": 1e-3}
    assert leaves_of("no-op-in-dtype", params, **l2) is None  # of decay alone


def test_a_share_of_the_budget_may_be_lost_unnoticed():
    """A warm-up from 0 passes below every threshold, with no share of the budget."""
    params = {"kernel": shape(3, 2, dtype=jnp.bfloat16)}
    warmup = optax.linear_schedule(0.0, 1.0, 100)
    found = examined(params, learning_rate=warmup, weight_decay=0.02).findings
    assert "rounded-in-dtype" not in {f.name for f in found}  # Σ up to 2⁻⁸ is 0.2 of 19
    cosine = optax.cosine_decay_schedule(1.0, 1000)
    d = examined(params, learning_rate=cosine, weight_decay=0.005)
    (found,) = (f for f in d.findings if f.name == "rounded-in-dtype")
    delta = 0.0025 * (1 + np.cos(np.pi * np.arange(1000) / 1000))
    lost = delta[delta <= 2.0**-9].sum() / delta.sum()
    partly = delta[(delta > 2.0**-9) & (delta < 2.0**-8)].sum() / delta.sum()
    assert f"{lost:.0%} of Σδ_t lies below the two, {partly:.0%} between" in found.what
