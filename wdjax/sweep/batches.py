"""A data set on the device: standardised, shuffled and cut into minibatches there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from wdjax.data.types import Dataset


class Examples(NamedTuple):
    """Images and labels on the device."""

    images: UInt8[Array, "n height width channels"]
    labels: Int[Array, " n"]


class Arrays(NamedTuple):
    """A data set on the device, with its training set's mean and deviation."""

    train: Examples
    validation: Examples
    test: Examples
    mean: Float[Array, " channels"]
    deviation: Float[Array, " channels"]


def arrays(dataset: Dataset) -> Arrays:
    """The arrays of a data set, as the argument ``data`` of a training program.

    Args:
        dataset: from :func:`wdjax.data.load`.

    Returns:
        Its splits as uint8, and the mean and standard deviation of each channel over
        the training images, in units of a pixel's 0…255.
    """
    pixels = dataset.train.images.astype(np.float32)
    splits = (dataset.train, dataset.validation, dataset.test)
    return Arrays(
        *(Examples(jnp.asarray(s.images), jnp.asarray(s.labels)) for s in splits),
        mean=jnp.asarray(pixels.mean((0, 1, 2))),
        deviation=jnp.asarray(np.maximum(pixels.std((0, 1, 2)), 1.0)),
    )


def standardised(
    data: Arrays, images: UInt8[Array, "n height width channels"]
) -> Float[Array, "n height width channels"]:
    """Pixels, less the training set's mean, in units of its standard deviation."""
    mean, deviation = data.mean[None, None, None], data.deviation[None, None, None]
    return (images.astype(mean.dtype) - mean) / deviation


def permutation(n: int, key: Key[Array, ""], start: Int[Array, ""]) -> Int[Array, " n"]:
    """The order of the epoch that starts at a step: known again whenever asked."""
    return jax.random.permutation(jax.random.fold_in(key, start), n)


def minibatch(
    examples: Examples, order: Int[Array, " n"], t: Int[Array, ""], batch_size: int
) -> Examples:
    """The batch of step ``t`` in the epoch's order; a remainder is left out."""
    batches = len(order) // batch_size
    rows = jax.lax.dynamic_slice(order, ((t % batches) * batch_size,), (batch_size,))
    return jax.tree.map(lambda a: a[rows], examples)
