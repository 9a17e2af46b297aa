"""Flax NNX modules as (init, apply) on plain dictionaries."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdjax.models import from_nnx
from wdjax.models.model import paths
from wdjax.models.nnx_adapter import from_nnx_with_statistics

INPUTS = jax.random.normal(jax.random.key(1), (4, 3))


class Stack(nnx.Module):
    """Twelve linear layers in a list: JAX sorts the names "10" and "2", 2 and 10."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(12)])
        self.output = nnx.Linear(3, 2, use_bias=False, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = nnx.tanh(layer(x))
        return self.output(x)


class Tied(nnx.Module):
    """The same layer under two names."""

    def __init__(self, rngs):
        self.first = nnx.Linear(3, 3, rngs=rngs)
        self.second = self.first

    def __call__(self, x):
        return self.second(nnx.tanh(self.first(x)))


class Centred(nnx.Module):
    """A layer whose outputs are centred over the batch, or at a mean that is given."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 2, use_bias=False, rngs=rngs)])

    def __call__(self, x, given):
        h = self.layers[0](x)
        mean = given.get("mean", jnp.mean(h, 0))
        return h - mean[None], {"mean": mean}


@pytest.fixture(params=[True, False], ids=["graph", "tree"], autouse=True)
def graph_mode(request):
    with nnx.set_graph_mode(request.param):
        yield request.param


def test_params_are_plain_dictionaries_with_readable_paths():
    params = jax.jit(from_nnx(Stack).init)(jax.random.key(0))
    assert set(paths(params)) == {
        "output/kernel",
        *(f"layers/{i}/{leaf}" for i in range(12) for leaf in ("kernel", "bias")),
    }
    assert type(params) is dict
    assert type(params["layers"]["0"]) is dict
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))


def test_apply_is_the_module_itself():
    model = from_nnx(Stack)
    params = jax.jit(model.init)(jax.random.key(0))
    # The same key through Flax alone, so that the weights agree to the bit.
    module = Stack(nnx.Rngs(jax.random.key(0)))
    np.testing.assert_array_equal(model.apply(params, INPUTS), module(INPUTS))


def test_apply_uses_the_parameters_it_is_given():
    model = from_nnx(Stack)
    params = jax.jit(model.init)(jax.random.key(0))

    def by_hand(params, x):
        for i in range(12):
            layer = params["layers"][str(i)]
            x = np.tanh(x @ layer["kernel"] + layer["bias"][None])
        return x @ params["output"]["kernel"]

    other = jax.tree.map(lambda leaf: 0.5 * leaf + 0.1, params)
    # float32 weights, thirteen layers: a few units in the last place.
    np.testing.assert_allclose(
        model.apply(other, INPUTS), by_hand(other, np.asarray(INPUTS)), rtol=1e-5
    )


def test_works_when_the_graph_mode_changes_after_construction(graph_mode):
    model = from_nnx(Stack)
    params = jax.jit(model.init)(jax.random.key(0))
    with nnx.set_graph_mode(not graph_mode):
        chex.assert_trees_all_equal(jax.jit(model.init)(jax.random.key(0)), params)
        other = model.apply(params, INPUTS)
    np.testing.assert_array_equal(other, model.apply(params, INPUTS))


def test_jit_and_vmap_and_scan_and_grad_agree_with_plain_calls():
    model = from_nnx(Stack)
    keys = jax.random.split(jax.random.key(0), 3)

    def loss(params):
        return jnp.mean(model.apply(params, INPUTS) ** 2)

    def descend(key):
        def step(params, _):
            value, grads = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

        return jax.lax.scan(step, model.init(key), length=5)

    params, losses = jax.jit(jax.vmap(descend))(keys)
    alone = jax.jit(jax.value_and_grad(loss))
    for i, key in enumerate(keys):
        theta = jax.tree.map(np.asarray, jax.jit(model.init)(key))
        for t in range(5):
            value, grads = alone(theta)
            # float32 weights; vmap may sum in another order.
            np.testing.assert_allclose(losses[i, t], value, rtol=1e-5)
            theta = jax.tree.map(lambda p, g: p - 0.1 * np.asarray(g), theta, grads)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, i=i: leaf[i], params), theta, atol=1e-6
        )


def test_different_keys_give_different_weights():
    init = jax.jit(from_nnx(Stack).init)
    one, two = init(jax.random.key(0)), init(jax.random.key(1))
    assert not jnp.any(one["output"]["kernel"] == two["output"]["kernel"])
    chex.assert_trees_all_equal(one, init(jax.random.key(0)))


def test_shared_layers_are_one_parameter_in_graph_mode(graph_mode):
    if not graph_mode:
        with pytest.raises(ValueError, match="Duplicate"):
            from_nnx(Tied)
        return
    model = from_nnx(Tied)
    params = jax.jit(model.init)(jax.random.key(0))
    assert paths(params) == ["first/bias", "first/kernel"]
    zeros = jax.tree.map(jnp.zeros_like, params)
    np.testing.assert_array_equal(model.apply(zeros, INPUTS), jnp.zeros((4, 3)))


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (lambda rngs: nnx.BatchNorm(3, rngs=rngs), ["'layers/1/mean' (BatchStat)"]),
        (lambda rngs: nnx.Dropout(0.1, rngs=rngs), ["'layers/1/rngs/key' (RngKey)"]),
    ],
)
def test_state_that_is_not_a_parameter_is_refused_by_name(layer, names):
    def make(rngs):
        return nnx.Sequential(nnx.Linear(3, 3, rngs=rngs), layer(rngs))

    with pytest.raises(ValueError, match=r"not an nnx\.Param") as error:
        from_nnx(make)
    for name in names:
        assert name in str(error.value)


def test_statistics_of_a_batch_are_returned_and_taken():
    model = from_nnx_with_statistics(Centred)
    params = jax.jit(model.init)(jax.random.key(0))
    h = np.asarray(INPUTS) @ np.asarray(params["layers"]["0"]["kernel"])
    # Float32 weights: a few units in the last place of numbers about 1.
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    close(jax.jit(model.apply)(params, INPUTS), h - h.mean(0))
    close(jax.jit(model.collect)(params, INPUTS)["mean"], h.mean(0))
    given = {"mean": jnp.array([1.0, 2.0])}
    close(jax.jit(model.apply)(params, INPUTS, given), h - np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"do not belong.*\['maen', 'mean'\]"):
        jax.jit(model.apply)(params, INPUTS, {"maen": given["mean"]})


def test_array_attributes_are_refused_by_name():
    class Shifted(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(3, 3, rngs=rngs)
            self.shift = jnp.ones(3)

    with pytest.raises(ValueError, match=r"'shift' \(array\)"):
        from_nnx(Shifted)


def test_parameters_of_another_model_are_refused_by_name():
    model = from_nnx(Stack)
    params = jax.jit(model.init)(jax.random.key(0))
    params["outptu"] = params.pop("output")
    with pytest.raises(ValueError, match="do not belong") as error:
        model.apply(params, INPUTS)
    assert "missing ['output/kernel'], unknown ['outptu/kernel']" in str(error.value)
