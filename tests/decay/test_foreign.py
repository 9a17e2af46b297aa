"""Decays that are not ours: found in closures, and told from the update."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import foreign, ledger

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}


class Method:
    """An optimizer whose functions are methods, its strength an attribute."""

    def __init__(self, weight_decay):
        self.weight_decay = weight_decay

    def init(self, params):
        del params
        return ()

    def update(self, updates, state, params):
        pull = self.weight_decay * params["w"]
        return updates | {"w": updates["w"] - pull}, state


class Slotted:
    """A method of what has no dictionary of attributes."""

    __slots__ = ()

    def note(self, link):
        pass


def of_methods(strength):
    method = Method(strength)
    return optax.GradientTransformation(method.init, method.update)


def of_partials(strength):
    def update(updates, state, params, *, weight_decay):
        return jax.tree.map(lambda u, p: u - weight_decay * p, updates, params), state

    return optax.GradientTransformation(
        lambda params: (), functools.partial(update, weight_decay=strength)
    )


def of_lists(strength):
    """The links of a chain in a list."""
    links = [optax.identity(), optax.add_decayed_weights(strength)]
    note = Slotted().note

    def update(updates, state, params):
        for link in links:
            note(link)
            updates, _ = link.update(updates, link.init(params), params)
        return updates, state

    return optax.GradientTransformation(lambda params: (), update)


def of_itself(strength):
    """A closure that leads back to itself."""
    weight_decay = strength

    def update(updates, state, params):
        if params is None:
            return update(updates, state, updates)
        return jax.tree.map(lambda u, p: u - weight_decay * p, updates, params), state

    return optax.GradientTransformation(lambda params: (), update)


def recursive(strength):
    """A closure with a cell that is still empty when `init` is called."""
    weight_decay = strength

    def update(updates, state, params):
        if params is None:
            return later, state
        return jax.tree.map(lambda u, p: u - weight_decay * p, updates, params), state

    if strength is None:
        later = 0
    return optax.GradientTransformation(lambda params: (), update)


@pytest.mark.parametrize(
    ("make", "leaves"),
    [
        (of_methods, ["w"]),
        (of_partials, ["b", "w"]),
        (of_lists, ["b", "w"]),
        (of_itself, ["b", "w"]),
        (recursive, ["b", "w"]),
        (optax.add_decayed_weights, ["b", "w"]),
    ],
)
def test_a_strength_is_found_wherever_it_is_kept(make, leaves):
    assert foreign.decayed(make(0.1), PARAMS) == leaves
    assert foreign.decayed(make(np.float32(0.1)), PARAMS) == leaves
    assert foreign.decayed(make(jnp.array(0.1)), PARAMS) == leaves
    assert foreign.decayed(make(0.0), PARAMS) == []
    assert foreign.decayed(make(None), PARAMS) == []
    assert foreign.decayed(make(jnp.zeros(())), PARAMS) == []


def test_a_strength_for_each_column_may_be_0_in_some():
    strengths = jnp.array([[0.0, 0.1]])
    only_w = {"w": PARAMS["w"]}
    assert foreign.decayed(of_partials(strengths), only_w) == ["w"]
    assert foreign.decayed(of_partials(0 * strengths), only_w) == []


def test_a_traced_strength_is_taken_to_be_on():
    heard = []

    def run(strength):
        heard.extend(foreign.decayed(optax.adamw(0.1, weight_decay=strength), PARAMS))
        return strength

    jax.jit(run)(0.0)
    assert heard == ["b", "w"]


def test_a_strength_in_an_array_is_known_also_under_jit():
    heard = []

    strong, weak = jnp.array(0.1), jnp.array(0.0)

    def known(x):
        for strength in (strong, weak):
            optimizer = optax.adamw(0.1, weight_decay=strength)
            heard.append(foreign.decayed(optimizer, PARAMS))
        return x

    jax.jit(known)(0.0)
    assert heard == [["b", "w"], []]


def test_shapes_and_hidden_leaves_are_parameters_too():
    shapes = jax.eval_shape(lambda: PARAMS)
    assert foreign.decayed(optax.adamw(0.1), shapes) == ["b", "w"]
    hidden = {"w": optax.MaskedNode(), "b": PARAMS["b"]}
    assert foreign.decayed(optax.adamw(0.1), hidden) == ["b"]


def test_asking_enters_nothing_into_a_ledger():
    optimizer = wdjax.adamw(0.1, 0.1)
    with ledger.collect() as entries:
        foreign.dependence(optimizer, PARAMS)
        assert entries == []
        optimizer.init(PARAMS)
        assert len(entries) == 1


def test_nothing_is_computed():
    def update(updates, state, params):
        del params
        jax.debug.callback(lambda: pytest.fail("it ran"))
        return updates, state

    watched = optax.GradientTransformation(lambda params: (), update)
    optimizer = optax.chain(watched, optax.add_decayed_weights(0.1))
    assert foreign.decayed(optimizer, PARAMS) == ["b", "w"]


def test_a_leaf_without_its_gradient_is_told_from_one_without_its_weight():
    frozen = optax.freeze({"w": True, "b": False})
    w_and_b = foreign.dependence(optax.chain(frozen, optax.adamw(0.1)), PARAMS)
    assert w_and_b == [(True, True), (True, False)]  # b, then w
    masked = optax.adamw(0.1, mask={"w": False, "b": True})
    assert foreign.dependence(masked, PARAMS) == [(True, True), (False, True)]
    assert foreign.dependence(optax.set_to_zero(), PARAMS) == [(False, False)] * 2


def test_what_asks_for_more_than_gradients_may_depend_on_all():
    assert foreign.dependence(optax.polyak_sgd(), PARAMS) == [(True, True)] * 2
