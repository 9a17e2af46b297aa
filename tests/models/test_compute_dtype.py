"""Products in bfloat16, everything else in float32."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import cnn, mlp

SHAPE = (6, 4, 3)
IMAGES = jax.random.normal(jax.random.key(1), (5, *SHAPE), jnp.float32)
MODELS = {"mlp": mlp, "cnn": cnn}


def build(name, **options):
    settings = {"input_shape": SHAPE, "dtype": jnp.float32} | options
    model = MODELS[name]((8, 6), 4, **settings)
    return model, jax.jit(model.init)(jax.random.key(0))


def types_of(operation, model, params):
    text = str(jax.make_jaxpr(model.apply)(params, IMAGES))
    return re.findall(rf":(\w+)\[[\d,]*\] = (?:{operation})\b", text)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("normalise", [False, True])
def test_only_products_of_hidden_layers_are_in_bfloat16(name, normalise):
    model, params = build(name, normalise=normalise, compute_dtype=jnp.bfloat16)
    products = types_of("dot_general|conv_general_dilated", model, params)
    assert products == ["bf16", "bf16", "f32"]
    assert types_of("sqrt|rsqrt", model, params) == ["f32"] * 2 * normalise
    gradient = jax.jit(jax.grad(lambda p: model.apply(p, IMAGES).mean()))
    leaves = jax.tree.leaves((params, gradient(params)))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_float32_but_for_rounding(name):
    model, params = build(name, compute_dtype=jnp.bfloat16)
    logits = jax.jit(model.apply)(params, IMAGES)
    assert logits.dtype == jnp.float32
    plain = jax.jit(build(name)[0].apply)(params, IMAGES)
    difference = np.max(np.abs(logits - plain)) / np.max(np.abs(plain))
    # 8 bits: 2⁻⁸ = 0.004 for each of two layers' inputs, kernels and outputs.
    assert 1e-4 < difference < 6 * 2**-8


def test_a_layer_of_the_mlp_by_hand():
    """Inputs, kernel and result rounded to bfloat16, by NumPy."""
    model, params = build("mlp", compute_dtype=jnp.bfloat16)

    def rounded(x):
        return np.asarray(x).astype(jnp.bfloat16).astype(np.float64)

    h = np.asarray(IMAGES).reshape(5, -1)
    for name in ("hidden_0", "hidden_1"):
        layer = params[name]
        h = np.maximum(0, rounded(rounded(h) @ rounded(layer["kernel"])))
    expected = h @ np.asarray(params["output"]["kernel"], np.float64)
    # A sum near the middle of two bfloat16 may be rounded the other way: 2⁻⁸ of one
    # of the terms; without rounding at all the difference is ten times this.
    logits = jax.jit(model.apply)(params, IMAGES)
    np.testing.assert_allclose(logits, expected, atol=5e-4)
