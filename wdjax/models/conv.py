r"""Convolution, in two forms of one signature.

.. math::

    y_{n p q d} = \sum_{i j c} x_{n,\; s p + i - o,\; s q + j - o',\; c}\, k_{i j c d}

for stride :math:`s`, with zeros outside the image and the offsets :math:`o, o'` of
TensorFlow's rule ``SAME``: the output has :math:`\lceil h / s \rceil` rows. As
everywhere in deep learning this is a cross-correlation, the kernel is not flipped.

The two differ in speed only. On CPU the gradient of ``lax.conv_general_dilated`` is
20 to 40 times slower inside ``lax.scan`` than outside it; a product of matrices is
as fast inside as out.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def conv_lax(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c d"], stride: int = 1
) -> Float[Array, "n p q d"]:
    """Convolve by ``lax.conv_general_dilated``, XLA's own convolution.

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


def conv_im2col(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c d"], stride: int = 1
) -> Float[Array, "n p q d"]:
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


def convolve(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c d"], stride: int = 1
) -> Float[Array, "n p q d"]:
    """Convolve in the form that is faster in training on JAX's default backend.

    Args:
        x: images, channels last.
        kernel: rows, columns, input channels, output channels.
        stride: step between outputs, in pixels, at least 1.

    Returns:
        :func:`conv_im2col` on CPU, :func:`conv_lax` elsewhere.
    """
    conv = conv_im2col if jax.default_backend() == "cpu" else conv_lax
    return conv(x, kernel, stride)


def im2col(
    x: Float[Array, "n h w c"], window: tuple[int, int], stride: int = 1
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
