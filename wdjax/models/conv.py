r"""Convolution, in three forms of one signature.

.. math::

    y_{n p q d} = \sum_{i j c} x_{n,\; s p + i - o,\; s q + j - o',\; c}\, k_{i j c d}

for stride :math:`s`, with zeros outside the image and the offsets :math:`o, o'` of
TensorFlow's rule ``SAME``: the output has :math:`\lceil h / s \rceil` rows. As
everywhere in deep learning this is a cross-correlation, the kernel is not flipped.

They differ in speed only. XLA's derivatives of a convolution are again convolutions,
with a reversed kernel and with one as large as the image; on CPU both become plain
loops inside ``lax.scan``, 20 to 40 times slower than the convolution itself.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Images: TypeAlias = Float[Array, "n h w c"]
Kernel: TypeAlias = Float[Array, "kh kw c d"]
Outputs: TypeAlias = Float[Array, "n p q d"]

CACHE = 2**21  # bytes of patches at a time, to be read again while they are near
CHANNELS = 8  # from which on a convolution is faster than patches, at stride 1
GPU_CHANNELS = 32  # up to which patches are faster; as many as were measured


def conv_lax(x: Images, kernel: Kernel, stride: int = 1) -> Outputs:
    """Convolve by ``lax.conv_general_dilated``, with XLA's own derivatives.

    Args:
        x: images, channels last.
        kernel: rows, columns, input channels, output channels.
        stride: step between outputs, in pixels, at least 1.

    Returns:
        The convolved images, of :math:`p = ⌈h/s⌉` rows and :math:`q = ⌈w/s⌉` columns.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def conv_im2col(x: Images, kernel: Kernel, stride: int = 1) -> Outputs:
    r"""Convolve by one product of matrices, patches times kernel.

    .. math::

        Y = P K, \qquad P \in \mathbb{R}^{npq \times k_h k_w c}, \quad
        K \in \mathbb{R}^{k_h k_w c \times d}

    where row :math:`(n, p, q)` of :math:`P` is the patch under that output.

    Args:
        x: images, channels last.
        kernel: rows, columns, input channels, output channels.
        stride: step between outputs, in pixels, at least 1.

    Returns:
        The convolved images, of :math:`p = ⌈h/s⌉` rows and :math:`q = ⌈w/s⌉` columns.
    """
    kh, kw, c, d = kernel.shape
    P = im2col(x, (kh, kw), stride)
    # A flat product: one call of the matrix kernel, and another for each gradient.
    Y = P.reshape(-1, kh * kw * c) @ kernel.reshape(-1, d)
    return Y.reshape(*P.shape[:3], d)


@jax.custom_vjp
def conv_stride_1(x: Images, kernel: Kernel) -> Float[Array, "n h w d"]:
    r"""Convolve with stride 1 as :func:`conv_lax`; its derivatives are fast on CPU.

    .. math::

        \bar x = \bar y * k', \quad k'_{i j d c} = k_{k_h-1-i,\; k_w-1-j,\; c d}, \qquad
        \bar K = P^\top \bar Y

    the first with a kernel that is reversed beforehand, the second a few images at a
    time, with the patches :math:`P` of :func:`conv_im2col`. Only reverse mode is
    defined: for ``jax.jvp`` take another form.

    Args:
        x: images, channels last.
        kernel: rows, columns (odd numbers of them), input channels, output channels.

    Returns:
        The convolved images, as large as ``x``.

    Raises:
        ValueError: the kernel has an even number of rows or columns.
    """
    if not _is_odd(kernel):
        raise ValueError(
            f"The kernel has {kernel.shape[0]} × {kernel.shape[1]} pixels; "
            "conv_stride_1 needs odd numbers. Use conv_lax or conv_im2col."
        )
    return conv_lax(x, kernel)


def convolve(x: Images, kernel: Kernel, stride: int = 1) -> Outputs:
    """Convolve in the form that is fastest in training on JAX's default backend.

    Args:
        x: images, channels last.
        kernel: rows, columns, input channels, output channels.
        stride: step between outputs, in pixels, at least 1.

    Returns:
        On GPUs :func:`conv_im2col` up to 32 channels: cells that train together would
        make a slow grouped convolution of :func:`conv_lax`. On CPU
        :func:`conv_stride_1` at stride 1 with 8 channels or more and an odd window, and
        :func:`conv_im2col` otherwise. :func:`conv_lax` elsewhere.
    """
    backend, channels = jax.default_backend(), x.shape[-1]
    if backend == "cpu" and stride == 1 and channels >= CHANNELS and _is_odd(kernel):
        return conv_stride_1(x, kernel)
    if backend == "cpu" or (backend == "gpu" and channels <= GPU_CHANNELS):
        return conv_im2col(x, kernel, stride)
    return conv_lax(x, kernel, stride)


def im2col(
    x: Images, window: tuple[int, int], stride: int = 1
) -> Float[Array, "n p q patch"]:
    """Gather the patch under every output of a convolution.

    Args:
        x: images, channels last.
        window: rows and columns of the kernel.
        stride: step between patches, in pixels, at least 1.

    Returns:
        The patches, flattened in the order of a kernel: row, column, channel.
    """
    _, h, w, _ = x.shape
    pads = lax.padtype_to_pads((h, w), window, (stride, stride), "SAME")
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    p, q = -(-h // stride), -(-w // stride)
    # Slices, because their gradient is a padded sum. The gradient of
    # conv_general_dilated_patches is again a convolution, slow inside a scan.
    slices = [
        padded[
            :,
            i : i + stride * (p - 1) + 1 : stride,
            j : j + stride * (q - 1) + 1 : stride,
        ]
        for i in range(window[0])
        for j in range(window[1])
    ]
    return jnp.concatenate(slices, axis=-1)


def _forward(x: Images, kernel: Kernel) -> tuple[Array, tuple[Images, Kernel]]:
    return conv_stride_1(x, kernel), (x, kernel)


def _backward(saved: tuple[Images, Kernel], dy: Array) -> tuple[Images, Kernel]:
    x, kernel = saved
    dx = conv_stride_1(dy, kernel[::-1, ::-1].swapaxes(2, 3))
    return dx, _kernel_gradient(x, kernel, dy)


conv_stride_1.defvjp(_forward, _backward)


def _kernel_gradient(x: Images, kernel: Kernel, dy: Float[Array, "n h w d"]) -> Kernel:
    kh, kw, c, d = kernel.shape
    wide = jnp.promote_types(x.dtype, jnp.float32)  # 8 bits are too few for the sum

    def of_some(total: Array, images: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = images
        P = im2col(x, (kh, kw)).reshape(-1, kh * kw * c)
        # (Pᵀ Y)ᵀ: up to 1.5 times faster with the long side last.
        return total + jnp.matmul(
            dy.reshape(-1, d).T, P, preferred_element_type=wide
        ), None

    size = x[0].size * kh * kw * x.dtype.itemsize
    some = _divisor(len(x), CACHE // size)
    xs, dys = (a.reshape(-1, some, *a.shape[1:]) for a in (x, dy))
    total, _ = lax.scan(of_some, jnp.zeros((d, kh * kw * c), wide), (xs, dys))
    return total.T.reshape(kernel.shape).astype(kernel.dtype)


def _is_odd(kernel: Kernel) -> bool:
    return all(size % 2 for size in kernel.shape[:2])


def _divisor(n: int, at_most: int) -> int:
    """The largest divisor of n up to a limit, 1 at least."""
    return max(k for k in range(1, n + 1) if n % k == 0 and k <= max(1, at_most))
