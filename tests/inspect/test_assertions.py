"""The assertions hold where they should, and fail with the leaf where not."""

import jax.numpy as jnp
import optax
import pytest

import wdjax
from wdjax.testing import assert_convention, assert_decays, assert_never_decays

PARAMS = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}


def adamw(learning_rate, weight_decay):
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def test_decays_at_its_rate():
    assert_decays(optax.adamw(0.1, weight_decay=0.02), PARAMS, rate=0.002)


def test_decays_where_it_should():
    optimizer = wdjax.adamw(0.1, 0.02, where=wdjax.where.matrices)
    assert_decays(optimizer, PARAMS, rate=0.002, where=wdjax.where.matrices)
    with pytest.raises(
        AssertionError, match=r"'bias' should decay by 0\.002, and is no"
    ):
        assert_decays(optimizer, PARAMS, rate=0.002)


def test_a_leaf_that_should_be_left_alone_is_named():
    optimizer = optax.adamw(0.1, weight_decay=0.02)
    with pytest.raises(AssertionError, match="'bias' should be left alone, and is de"):
        assert_decays(optimizer, PARAMS, rate=0.002, where=wdjax.where.matrices)


@pytest.mark.parametrize("rate", [0.00201, 0.00199, -0.002])
def test_another_rate_is_no_match(rate):
    with pytest.raises(AssertionError, match=r"and does by 0\.002"):
        assert_decays(optax.adamw(0.1, weight_decay=0.02), PARAMS, rate=rate)


def test_multipliers_count():
    where = wdjax.where.by_path({"kernel": 2.0, "bias": 1.0})
    optimizer = wdjax.with_weight_decay(optax.adam(0.1), 0.002, where=where)
    assert_decays(optimizer, PARAMS, rate=0.002, where=where)


def test_l2_is_no_decay():
    with pytest.raises(AssertionError, match=r"should decay by 0\.01, and is coupled"):
        assert_decays(wdjax.adam_l2(0.1, 0.1), PARAMS, rate=0.01)


@pytest.mark.parametrize("rate", [0.0, float("nan")])
def test_a_rate_that_nothing_could_miss_is_refused(rate):
    with pytest.raises(ValueError, match="give a finite one that is not 0"):
        assert_decays(optax.adamw(0.1), PARAMS, rate=rate)


def test_what_cannot_be_told_fails():
    with pytest.raises(AssertionError, match="could not be told"):
        assert_never_decays(optax.lbfgs(), PARAMS)


@pytest.mark.parametrize("convention", [wdjax.OPTAX, wdjax.PYTORCH])
def test_the_convention_of_optax(convention):
    assert_convention(adamw, convention)


@pytest.mark.parametrize(
    "convention", [wdjax.PAPER, wdjax.CONSTANT, wdjax.CORRECTED, wdjax.SQUARED]
)
def test_other_conventions_are_not_optaxs(convention):
    with pytest.raises(AssertionError, match=r"is λ·α\^1·η_t\^1, not"):
        assert_convention(adamw, convention)


def test_each_convention_of_ours():
    for convention in (wdjax.PAPER, wdjax.CONSTANT, wdjax.CORRECTED, wdjax.SQUARED):

        def factory(learning_rate, weight_decay, convention=convention):
            scheduled = callable(learning_rate)
            peak = learning_rate(0) if scheduled else None
            return wdjax.adamw(
                learning_rate,
                weight_decay,
                convention=convention,
                peak_learning_rate=peak,
            )

        assert_convention(factory, convention)


def test_a_convention_needs_decoupled_decay():
    with pytest.raises(AssertionError, match="is coupled, not decoupled"):
        assert_convention(wdjax.adam_l2, wdjax.OPTAX)


def test_never_decays():
    assert_never_decays(optax.adam(0.1), PARAMS)
    with pytest.raises(AssertionError, match="'kernel' is decoupled"):
        assert_never_decays(optax.adamw(0.1), PARAMS)
    with pytest.raises(AssertionError, match="'kernel' is coupled"):
        assert_never_decays(wdjax.adam_l2(0.1, 0.1), PARAMS)
