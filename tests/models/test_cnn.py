"""The convolutional network, layer by layer from its parts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import cnn
from wdjax.models.model import paths

SHAPE = (8, 10, 3)
KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (5, *SHAPE))
# float64: sums of at most 3·3·6 products, three layers.
ROUNDING = 1e-11


@partial(jax.jit, static_argnums=2)
def lax_conv(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def standard(x, axes, epsilon):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("scale_invariant", [False, True])
def test_forward_pass_by_hand(normalise, scale_invariant):
    epsilon = 0.3
    model = cnn(
        (4, 6, 5),
        7,
        normalise=normalise,
        scale_invariant=scale_invariant,
        epsilon=epsilon,
        input_shape=SHAPE,
    )
    params = jax.tree.map(lambda p: np.asarray(p) + 0.1, jax.jit(model.init)(KEY))
    h = IMAGES
    for name, stride in (("hidden_0", 1), ("hidden_1", 2), ("hidden_2", 2)):
        h = np.asarray(lax_conv(h, params[name]["kernel"], stride))
        if normalise or scale_invariant:
            h = standard(h, (1, 2, 3), epsilon)
        else:
            h = h + params[name]["bias"][None, None, None]
        h = np.maximum(h, 0)
    logits = h.mean((1, 2)) @ params["output"]["kernel"]
    if scale_invariant:
        logits = standard(logits, 1, epsilon)
    else:
        logits = logits + params["output"]["bias"][None]
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES), logits, rtol=ROUNDING
    )


def test_parameters_have_the_documented_names_and_number():
    params = jax.jit(cnn().init)(KEY)
    layers = ("hidden_0", "hidden_1", "hidden_2", "output")
    assert paths(params) == [
        f"{i}/{leaf}" for i in layers for leaf in ("bias", "kernel")
    ]
    # 3·3·(3·16 + 16·32 + 32·32) + 16+32+32 weights, then 32·10 + 10.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 14_666
    params = jax.jit(cnn(scale_invariant=True).init)(KEY)
    assert paths(params) == [f"{i}/kernel" for i in layers]


def test_kernels_have_he_scale_and_different_keys_give_different_weights():
    init = jax.jit(cnn((64, 64)).init)
    one, two = init(KEY), init(jax.random.key(1))
    kernel = np.asarray(one["hidden_1"]["kernel"])
    # Relative error of a variance √(2/N) at most; four standard errors.
    tolerance = 4 * np.sqrt(2 / kernel.size)
    np.testing.assert_allclose(kernel.var(), 2 / (9 * 64), rtol=tolerance)
    assert not jnp.any(one["hidden_1"]["kernel"] == two["hidden_1"]["kernel"])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_parameters_gradients_and_logits_keep_their_type(dtype):
    model = cnn((4, 4), input_shape=SHAPE, dtype=dtype)
    params = jax.jit(model.init)(KEY)
    images = IMAGES.astype(dtype)

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def slope(params):
        logits = model.apply(params, images)
        return logits.mean(), logits

    grads, logits = slope(params)
    assert logits.dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves((params, grads))} == {
        jnp.dtype(dtype)
    }


def test_images_of_another_shape_are_refused():
    model = cnn(input_shape=SHAPE)
    with pytest.raises(ValueError, match=r"built for inputs of shape \(8, 10, 3\)"):
        model.apply(jax.jit(model.init)(KEY), jnp.zeros((5, 10, 8, 3)))
