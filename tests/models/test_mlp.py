"""The multi-layer perceptron, against NumPy by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import cnn, mlp
from wdjax.models.model import paths

SHAPE = (4, 3, 2)
IMAGES = jax.random.normal(jax.random.key(1), (5, *SHAPE))
# float64: products of at most 24 terms, then a division by a standard deviation.
ROUNDING = 1e-12


def shifted(params):
    """Move the biases off zero, so that a forgotten one shows."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.1, params)


def layer_norm(x, epsilon):
    mean = x.mean(axis=1)[:, None]
    return (x - mean) / np.sqrt(x.var(axis=1)[:, None] + epsilon)


def test_forward_pass_by_hand():
    model = mlp((7, 6), 3, input_shape=SHAPE)
    params = shifted(jax.jit(model.init)(jax.random.key(0)))
    h = np.asarray(IMAGES).reshape(5, 24)
    for name in ("hidden_0", "hidden_1"):
        h = np.maximum(0, h @ params[name]["kernel"] + params[name]["bias"][None])
    logits = h @ params["output"]["kernel"] + params["output"]["bias"][None]
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES), logits, rtol=ROUNDING
    )


@pytest.mark.parametrize("scale_invariant", [False, True])
def test_normalised_forward_pass_by_hand(scale_invariant):
    epsilon = 0.3
    model = mlp(
        (7, 6),
        3,
        normalise=True,
        scale_invariant=scale_invariant,
        epsilon=epsilon,
        input_shape=SHAPE,
    )
    params = shifted(jax.jit(model.init)(jax.random.key(0)))
    h = np.asarray(IMAGES).reshape(5, 24)
    for name in ("hidden_0", "hidden_1"):
        h = np.maximum(0, layer_norm(h @ params[name]["kernel"], epsilon))
    logits = h @ params["output"]["kernel"]
    if scale_invariant:
        logits = layer_norm(logits, epsilon)
    else:
        logits = logits + params["output"]["bias"][None]
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES), logits, rtol=ROUNDING
    )


HIDDEN = ["hidden_0/kernel", "hidden_1/kernel"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [*HIDDEN, "hidden_0/bias", "hidden_1/bias", "output/bias"]),
        ({"normalise": True}, [*HIDDEN, "output/bias"]),
        ({"scale_invariant": True}, HIDDEN),
    ],
)
def test_normalised_layers_have_no_bias(options, expected):
    params = jax.jit(mlp((7, 6), **options).init)(jax.random.key(0))
    assert set(paths(params)) == {"output/kernel", *expected}


def test_without_hidden_layers_it_is_a_linear_classifier():
    model = mlp((), 3, input_shape=SHAPE)
    params = jax.jit(model.init)(jax.random.key(0))
    assert paths(params) == ["output/bias", "output/kernel"]
    logits = np.asarray(IMAGES).reshape(5, 24) @ params["output"]["kernel"]
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES), logits, rtol=ROUNDING
    )


def test_kernels_have_he_and_lecun_scale_and_biases_are_zero():
    params = jax.jit(mlp((400, 300), 200, input_shape=(500,)).init)(jax.random.key(0))
    for name, variance in (
        ("hidden_0", 2 / 500),
        ("hidden_1", 2 / 400),
        ("output", 1 / 300),
    ):
        kernel = np.asarray(params[name]["kernel"])
        # The sample variance of N normals has relative error √(2/N); a truncated
        # normal's is smaller. Four standard errors.
        tolerance = 4 * np.sqrt(2 / kernel.size)
        np.testing.assert_allclose(kernel.var(), variance, rtol=tolerance)
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_parameters_have_the_default_float_type_or_the_one_asked_for():
    assert (
        jax.jit(mlp().init)(jax.random.key(0))["output"]["kernel"].dtype == jnp.float64
    )
    params = jax.jit(mlp(dtype=jnp.bfloat16).init)(jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}
    with jax.enable_x64(False):
        assert (
            jax.jit(mlp().init)(jax.random.key(0))["output"]["kernel"].dtype
            == jnp.float32
        )


def test_different_keys_give_different_weights():
    init = jax.jit(mlp().init)
    one, two = init(jax.random.key(0)), init(jax.random.key(1))
    assert not jnp.any(one["hidden_0"]["kernel"] == two["hidden_0"]["kernel"])


@pytest.mark.usefixtures("untyped")
def test_a_single_width_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"hidden is 64; .*such as \(64,\)"):
        mlp(64)
    with pytest.raises(ValueError, match=r"channels is 16; .*such as \(16,\)"):
        cnn(16)


def test_images_of_another_shape_are_refused():
    model = mlp(input_shape=SHAPE)
    params = jax.jit(model.init)(jax.random.key(0))
    with pytest.raises(ValueError, match=r"built for inputs of shape \(4, 3, 2\)"):
        model.apply(params, jnp.zeros((5, 4, 2, 3)))
