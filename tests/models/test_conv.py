"""Three forms of convolution, against loops over pixels and against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import conv, conv_im2col, conv_lax, conv_stride_1, convolve

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


@pytest.mark.parametrize("form", [conv_im2col, conv_lax, convolve])
@pytest.mark.parametrize(("sizes", "stride"), CASES)
def test_convolution_is_its_definition(form, sizes, stride):
    x, kernel = arrays(*sizes)
    expected = by_hand(np.asarray(x), np.asarray(kernel), stride)
    np.testing.assert_allclose(
        jax.jit(form, static_argnums=2)(x, kernel, stride),
        expected,
        rtol=ROUNDING,
        atol=ROUNDING,
    )


def stride_1(x, kernel, stride):
    assert stride == 1
    return conv_stride_1(x, kernel)


FORMS = [(conv_im2col, *case) for case in CASES] + [
    (stride_1, (8, 8, 3, 3), 1),
    (stride_1, (6, 5, 1, 1), 1),
    (stride_1, (7, 9, 5, 3), 1),
    (stride_1, (2, 2, 3, 3), 1),
]


def test_stride_1_is_the_definition():
    x, kernel = arrays(7, 9, 5, 3)
    np.testing.assert_allclose(
        jax.jit(conv_stride_1)(x, kernel),
        by_hand(np.asarray(x), np.asarray(kernel), 1),
        rtol=ROUNDING,
        atol=ROUNDING,
    )


def test_stride_1_refuses_even_windows():
    x, kernel = arrays(8, 8, 3, 2)
    with pytest.raises(ValueError, match="3 × 2 pixels; conv_stride_1 needs odd"):
        conv_stride_1(x, kernel)


@pytest.mark.parametrize(("form", "sizes", "stride"), FORMS)
@pytest.mark.parametrize("cache", [1, conv.CACHE])  # one image at a time, or all
def test_gradients_are_those_of_lax(monkeypatch, form, sizes, stride, cache):
    monkeypatch.setattr(conv, "CACHE", cache)
    x, kernel = arrays(*sizes)
    weights = jax.random.normal(jax.random.key(2), conv_lax(x, kernel, stride).shape)

    def product(form, x, kernel):
        return jnp.sum(weights * form(x, kernel, stride) ** 3)

    def gradients(form):
        return jax.jit(jax.grad(partial(product, form), argnums=(0, 1)))(x, kernel)

    def curvature(form):
        def squares(x, kernel):
            gradient = jax.grad(partial(product, form), argnums=(0, 1))(x, kernel)
            return sum(jnp.sum(g**2) for g in gradient)

        return jax.jit(jax.grad(squares, argnums=(0, 1)))(x, kernel)

    for derivatives in (gradients, curvature):
        for one, two in zip(derivatives(form), derivatives(conv_lax), strict=True):
            np.testing.assert_allclose(
                one, two, rtol=ROUNDING, atol=ROUNDING * float(jnp.max(jnp.abs(two)))
            )


def test_kernel_gradients_of_bfloat16_are_summed_in_float32():
    x = jnp.full((256, 4, 4, 8), 1.0, jnp.bfloat16)
    kernel = jnp.zeros((1, 1, 8, 1), jnp.bfloat16)
    gradient = jax.grad(lambda k: conv_stride_1(x, k).astype(float).sum())(kernel)
    # 4,096 ones; a sum in bfloat16 stops at 256.
    np.testing.assert_array_equal(gradient.astype(float), 4096.0)


@pytest.mark.parametrize("form", [conv_im2col, stride_1])
def test_gradient_inside_a_scan_under_vmap_is_the_same(form):
    x, kernel = arrays(8, 8, 3, 3)
    kernels = jnp.stack([kernel, 2 * kernel])

    def descend(form, kernel):
        def step(k, _):
            return k - 0.01 * jax.grad(lambda k: (form(x, k, 1) ** 2).mean())(k), None

        return jax.lax.scan(step, kernel, length=3)[0]

    ours = jax.jit(jax.vmap(partial(descend, form)))(kernels)
    alone = jax.jit(partial(descend, conv_lax))
    for i in range(2):
        np.testing.assert_allclose(
            ours[i], alone(kernels[i]), rtol=ROUNDING, atol=ROUNDING
        )


@pytest.mark.parametrize(
    ("backend", "shape", "stride", "expected"),
    [
        ("gpu", (3, 3, 8, 2), 1, "im2col"),
        ("gpu", (3, 3, 3, 2), 2, "im2col"),
        ("gpu", (3, 3, 32, 2), 1, "im2col"),
        ("gpu", (3, 3, 33, 2), 1, "lax"),
        ("tpu", (3, 3, 8, 2), 1, "lax"),
        ("tpu", (3, 3, 3, 2), 2, "lax"),
        ("cpu", (3, 3, 8, 2), 1, "stride_1"),
        ("cpu", (3, 3, 7, 2), 1, "im2col"),
        ("cpu", (2, 2, 8, 2), 1, "im2col"),
        ("cpu", (3, 3, 8, 2), 2, "im2col"),
    ],
)
def test_the_backend_decides_which_form_runs(
    monkeypatch, backend, shape, stride, expected
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, kernel = jnp.ones((1, 4, 4, shape[2])), jnp.ones(shape)
    program = str(jax.make_jaxpr(partial(convolve, stride=stride))(x, kernel))
    found = (
        "stride_1"
        if "custom_vjp_call" in program
        else "lax"
        if "conv_general_dilated" in program
        else "im2col"
    )
    assert found == expected
