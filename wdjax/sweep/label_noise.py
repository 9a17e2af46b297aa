"""Wrong labels in the training set, so many of them and no more."""

import dataclasses

import numpy as np

from wdjax.data.types import Dataset


def with_label_noise(data: Dataset, fraction: float, seed: int) -> Dataset:
    r"""Replace a fraction of the training labels by other classes (symmetric noise).

    .. math::

        y_i \leftarrow (y_i + s_i) \bmod K, \qquad s_i \sim \mathcal U\{1, \dots, K-1\}

    for ``round(fraction * n)`` examples :math:`i` drawn without replacement among
    :math:`n`, and :math:`K` classes. Images, validation and test stay. What is wrong
    at one fraction is wrong, and in the same way, at a larger one of the same seed.

    Args:
        data: the data set.
        fraction: of the training labels, 0 to 1.
        seed: of the draws.

    Returns:
        The data set, with the fraction in its name.

    Raises:
        ValueError: the fraction is not in [0, 1], or there is only one class.

    References:
        Angluin & Laird, *Learning from Noisy Examples*, 1988. Van Rooyen, Menon &
        Williamson, *Learning with Symmetric Label Noise*, 2015, section 2.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction is {fraction}; it must be between 0 and 1.")
    labels, classes = data.train.labels, len(data.classes)
    if classes < 2:
        raise ValueError(
            f"{data.name} has {classes} class; a wrong label needs another one."
        )
    n, rng = len(labels), np.random.default_rng(seed)
    order, shift = rng.permutation(n), rng.integers(1, classes, n)
    wrong = order[: round(fraction * n)]
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + shift[wrong]) % classes
    return dataclasses.replace(
        data,
        name=f"{data.name} with {100 * fraction:g} % wrong labels",
        train=data.train._replace(labels=noisy),
    )
