"""A factory is called by the names of its arguments, so that λ is never a momentum."""

import functools

import optax
import pytest

import wdjax
from wdjax.testing import assert_convention


@pytest.mark.parametrize(
    ("factory", "kind", "rate"),
    [
        (optax.adamw, "decoupled", 1e-3),
        (functools.partial(optax.lion, b1=0.8), "decoupled", 1e-3),
        (optax.adafactor, "decoupled", 0.1),
        (wdjax.adam_l2, "coupled", None),
        (lambda a, lam, b1=0.9: optax.adamw(a, b1=b1, weight_decay=lam), None, 1e-3),
        (lambda *both: wdjax.adamw(both[0], both[1]), "decoupled", 1e-3),
    ],
)
def test_the_decay_is_set_by_its_name(factory, kind, rate):
    found = wdjax.audit(factory, learning_rate=1e-2, weight_decay=0.1)
    assert found.kind == (kind or "decoupled")
    if rate is not None:
        assert found.decay_rate == pytest.approx([rate] * 8)


@pytest.mark.parametrize(
    "factory", [optax.sgd, optax.adam, lambda: optax.sgd(1.0), lambda **_: optax.sgd(1)]
)
def test_what_takes_no_decay_is_one_optimizer(factory):
    assert wdjax.audit(factory).kind == "none"


@pytest.mark.parametrize("factory", [lambda steps: optax.sgd(1), lambda a, b, c: None])
def test_a_factory_that_needs_something_else_is_refused(factory):
    with pytest.raises(ValueError, match="; give a function of"):
        wdjax.audit(factory)


def test_a_convention_is_asserted_of_optax_own_functions():
    assert_convention(optax.adamw, wdjax.PYTORCH)
    with pytest.raises(AssertionError, match="is none, not decoupled"):
        assert_convention(optax.sgd, wdjax.PYTORCH)
