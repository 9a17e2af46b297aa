"""Two forms of convolution, against loops over pixels and against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import conv_im2col, conv_lax, convolve

# (height, width, kernel rows, columns), stride: odd and even, and not square.
CASES = [
    ((8, 8, 3, 3), 1),
    ((8, 8, 3, 3), 2),
    ((7, 9, 3, 3), 2),
    ((7, 8, 3, 2), 3),
    ((6, 5, 1, 1), 1),
    ((6, 5, 1, 1), 2),
    ((5, 7, 5, 4), 1),
    ((2, 2, 3, 3), 2),
]
# float64: sums of at most 5·4·3 products, or of n·h·w of them in a gradient.
ROUNDING = 1e-12


def arrays(h, w, kh, kw):
    x = jax.random.normal(jax.random.key(0), (2, h, w, 3))
    return x, jax.random.normal(jax.random.key(1), (kh, kw, 3, 4))


def by_hand(x, kernel, stride):
    """The definition: zeros outside, the smaller half of the padding in front."""
    kh, kw = kernel.shape[:2]
    n, h, w, _ = x.shape
    p, q = -(-h // stride), -(-w // stride)
    top = max((p - 1) * stride + kh - h, 0) // 2
    left = max((q - 1) * stride + kw - w, 0) // 2
    y = np.zeros((n, p, q, kernel.shape[3]))
    for a, b, i, j in np.ndindex(p, q, kh, kw):
        row, column = a * stride + i - top, b * stride + j - left
        if 0 <= row < h and 0 <= column < w:
            y[:, a, b] += x[:, row, column] @ kernel[i, j]
    return y


@pytest.mark.parametrize("conv", [conv_im2col, conv_lax, convolve])
@pytest.mark.parametrize(("sizes", "stride"), CASES)
def test_convolution_is_its_definition(conv, sizes, stride):
    x, kernel = arrays(*sizes)
    expected = by_hand(np.asarray(x), np.asarray(kernel), stride)
    np.testing.assert_allclose(
        jax.jit(conv, static_argnums=2)(x, kernel, stride),
        expected,
        rtol=ROUNDING,
        atol=ROUNDING,
    )


@pytest.mark.parametrize(("sizes", "stride"), CASES)
def test_gradients_of_im2col_are_those_of_lax(sizes, stride):
    x, kernel = arrays(*sizes)
    weights = jax.random.normal(jax.random.key(2), conv_lax(x, kernel, stride).shape)

    @partial(jax.jit, static_argnums=0)
    def gradients(conv):
        def product(x, kernel):
            return jnp.sum(weights * conv(x, kernel, stride))

        return jax.grad(product, argnums=(0, 1))(x, kernel)

    for one, two in zip(gradients(conv_im2col), gradients(conv_lax), strict=True):
        np.testing.assert_allclose(one, two, rtol=ROUNDING, atol=ROUNDING)


def test_gradient_inside_a_scan_under_vmap_is_the_same():
    x, kernel = arrays(8, 8, 3, 3)
    kernels = jnp.stack([kernel, 2 * kernel])

    def descend(conv, kernel):
        def step(k, _):
            return k - 0.01 * jax.grad(lambda k: (conv(x, k, 2) ** 2).mean())(k), None

        return jax.lax.scan(step, kernel, length=3)[0]

    ours = jax.jit(jax.vmap(partial(descend, conv_im2col)))(kernels)
    alone = jax.jit(partial(descend, conv_lax))
    for i in range(2):
        np.testing.assert_allclose(
            ours[i], alone(kernels[i]), rtol=ROUNDING, atol=ROUNDING
        )


def test_the_backend_decides_which_form_runs(monkeypatch):
    x, kernel = arrays(8, 8, 3, 3)

    def primitives():
        return str(jax.make_jaxpr(partial(convolve, stride=1))(x, kernel))

    assert "conv_general_dilated" not in primitives()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in primitives()
