"""Augmentation of a batch of pixels inside the program: ``(key, images) -> images``.

Each image of the batch gets draws of its own. Settings are set by
``functools.partial``; :func:`in_turn` composes. For CIFAR, He et al. (2016) take
``in_turn(random_crop, random_flip)``.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt8

Images: TypeAlias = UInt8[Array, "n height width channels"]
Augment: TypeAlias = Callable[[Key[Array, ""], Images], Images]


def random_crop(
    key: Key[Array, ""], images: Images, *, padding: int = 4, fill: int = 0
) -> Images:
    r"""Cut a window of the image's size out of the padded image.

    .. math::

        y_{pqc} = \bar x_{p + i,\; q + j,\; c}, \qquad
        i, j \sim \mathcal U\{0, \dots, 2P\}

    where :math:`\bar x` is :math:`x` with :math:`P` pixels around it.

    Args:
        key: draws :math:`i, j` for each image.
        images: the batch.
        padding: :math:`P \ge 0`, in pixels.
        fill: value of the pixels around, 0 to 255. The paper has subtracted the mean,
            so that its zeros are the mean's; most implementations pad with black, as
            here.

    Returns:
        Images of the same size.

    References:
        He et al., *Deep Residual Learning*, 2016, section 4.2.
    """
    n, *shape = images.shape
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(images, around, constant_values=fill)
    corners = jax.random.randint(key, (n, 2), 0, 2 * padding + 1)

    def window(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*corner, 0), shape)

    return jax.vmap(window)(padded, corners)


def random_flip(key: Key[Array, ""], images: Images) -> Images:
    r"""Mirror left and right with probability ½.

    Args:
        key: draws for each image.
        images: the batch.

    Returns:
        The images, some of them mirrored.

    References:
        He et al., *Deep Residual Learning*, 2016, section 4.2.
    """
    mirrored = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def cutout(
    key: Key[Array, ""], images: Images, *, size: int = 16, fill: int = 128
) -> Images:
    r"""Mask a square around a random pixel, cut off at the border.

    .. math::

        -\lfloor s/2 \rfloor \le p - i < s - \lfloor s/2 \rfloor, \qquad
        i \sim \mathcal U\{0, \dots, h - 1\}

    for the rows :math:`p` of the square, and its columns likewise.

    Args:
        key: draws the centre :math:`(i, j)` for each image.
        images: the batch.
        size: :math:`s \ge 1`, in pixels; 16 for CIFAR-10 and 8 for CIFAR-100 in the
            paper.
        fill: value of the masked pixels, 0 to 255. The paper's is the mean colour;
            the middle of the range is within 15 of CIFAR's.

    Returns:
        The images, each with its square masked.

    References:
        DeVries & Taylor, *Improved Regularization of CNNs with Cutout*, 2017,
        section 3.2.
    """
    n, h, w, _ = images.shape
    row_key, column_key = jax.random.split(key)
    masked = _strip(row_key, n, h, size)[:, :, None, None]
    masked = masked & _strip(column_key, n, w, size)[:, None, :, None]
    return jnp.where(masked, jnp.asarray(fill, images.dtype), images)


def in_turn(*augments: Augment) -> Augment:
    """One augmentation after the other, each with a key of its own.

    Args:
        *augments: in order.

    Returns:
        Their composition; with none the images as they are.
    """

    def composed(key: Key[Array, ""], images: Images) -> Images:
        for i, augment in enumerate(augments):
            images = augment(jax.random.fold_in(key, i), images)
        return images

    return composed


def _strip(key: Key[Array, ""], n: int, length: int, size: int) -> Array:
    """Which of ``length`` positions lie in a random interval, for n images."""
    centre = jax.random.randint(key, (n, 1), 0, length)
    offset = jnp.arange(length)[None] - centre
    return (offset >= -(size // 2)) & (offset < size - size // 2)
