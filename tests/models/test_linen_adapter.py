"""Flax Linen modules as (init, apply) on plain dictionaries."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from wdjax.models import from_linen
from wdjax.models.model import paths

INPUTS = jax.random.normal(jax.random.key(1), (4, 3))


class Perceptron(linen.Module):
    @linen.compact
    def __call__(self, x):
        hidden = linen.tanh(linen.Dense(5)(x))
        return linen.Dense(2)(hidden)


class Normalised(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=True)(linen.Dense(5)(x))


def test_params_have_linens_names_and_apply_is_the_module():
    model = from_linen(Perceptron(), INPUTS)
    params = jax.jit(model.init)(jax.random.key(0))
    assert paths(params) == [
        "Dense_0/bias",
        "Dense_0/kernel",
        "Dense_1/bias",
        "Dense_1/kernel",
    ]
    assert type(params) is dict
    hidden = np.tanh(INPUTS @ params["Dense_0"]["kernel"])
    # Linen's biases start at 0; float32 weights.
    np.testing.assert_allclose(
        model.apply(params, INPUTS), hidden @ params["Dense_1"]["kernel"], rtol=1e-5
    )


def test_works_under_vmap_and_grad():
    model = from_linen(Perceptron(), INPUTS)
    keys = jax.random.split(jax.random.key(0), 3)

    def slope(key):
        params = model.init(key)
        return jax.grad(lambda p: model.apply(p, INPUTS).sum())(params)

    batched = jax.jit(jax.vmap(slope))(keys)
    # d(sum of logits)/d(output bias) is the number of inputs.
    np.testing.assert_array_equal(batched["Dense_1"]["bias"], np.full((3, 2), 4.0))
    alone = jax.jit(slope)(keys[2])["Dense_0"]["kernel"]
    np.testing.assert_allclose(batched["Dense_0"]["kernel"][2], alone, rtol=1e-5)


def test_only_the_shape_of_the_example_matters():
    shape = jax.ShapeDtypeStruct((1, 3), jnp.float64)
    one = jax.jit(from_linen(Perceptron(), shape).init)(jax.random.key(0))
    two = jax.jit(from_linen(Perceptron(), INPUTS).init)(jax.random.key(0))
    chex.assert_trees_all_equal(one, two)


def test_different_keys_give_different_weights():
    init = jax.jit(from_linen(Perceptron(), INPUTS).init)
    one, two = init(jax.random.key(0)), init(jax.random.key(1))
    assert not jnp.any(one["Dense_0"]["kernel"] == two["Dense_0"]["kernel"])


def test_other_collections_are_refused_by_name():
    with pytest.raises(ValueError, match="outside 'params'") as error:
        from_linen(Normalised(), INPUTS)
    assert "'batch_stats/BatchNorm_0/mean'" in str(error.value)
