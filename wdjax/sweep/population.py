"""Statistics of batch normalisation over the training set, for evaluation."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from wdjax.sweep.batches import Arrays, standardised

Apply: TypeAlias = Callable[..., Float[Array, "n k"]]
Collect: TypeAlias = Callable[[PyTree, Float[Array, "n *shape"]], PyTree]
Moments: TypeAlias = dict[str, Array]

BATCH = 500


def population(collect: Collect, params: PyTree, data: Arrays) -> PyTree:
    r"""Mean and variance over the training set, from those of its batches.

    .. math::

        \mu = \operatorname{E}[\mu_B], \qquad
        \sigma^2 = \operatorname{E}[\sigma_B^2] + \operatorname{Var}[\mu_B]

    over :math:`\lceil n/500 \rceil` batches :math:`B` of one size, in an order that is
    always the same, without what does not fill a batch. As in training each batch goes
    through the network normalised by its own statistics, so that those of deep layers
    depend a little on the batches; images are not augmented.

    Args:
        collect: parameters and standardised images to the statistics of the batch:
            nested dictionaries that end in ``{"mean": …, "variance": …}``.
        params: the parameters.
        data: for its training set, mean and deviation.

    Returns:
        The statistics, as ``collect`` returns them.

    References:
        Wu & Johnson, *Rethinking "Batch" in BatchNorm*, 2021, section 3 (precise
        batch normalisation).
    """
    n = len(data.train.labels)
    batches = -(-n // BATCH)
    size = n // batches
    # A file may be sorted by class, and a batch of one class is no sample.
    order = jax.random.permutation(jax.random.key(0), n)[: batches * size]

    def of(rows: Int[Array, " batch"]) -> PyTree:
        return collect(params, standardised(data, data.train.images[rows]))

    def add(
        total: PyTree, step: tuple[Int[Array, ""], Int[Array, " batch"]]
    ) -> tuple[PyTree, None]:
        k, rows = step
        joined = partial(_joined, k)
        return jax.tree.map(joined, total, of(rows), is_leaf=_are_moments), None

    rows = order.reshape(batches, size)
    start = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of, rows[0])
    )
    return jax.lax.scan(add, start, (jnp.arange(batches), rows))[0]


def settled(apply: Apply, collect: Collect, params: PyTree, data: Arrays) -> Apply:
    """The network with the training set's statistics in place of a batch's own.

    Args:
        apply: parameters, standardised images and statistics to logits.
        collect: parameters and standardised images to statistics.
        params: the parameters whose statistics are taken, and no others.
        data: for its training set, mean and deviation.

    Returns:
        ``(params, images) -> logits``, each image's by itself.
    """
    statistics = population(collect, params, data)
    return lambda params, images: apply(params, images, statistics)


def _joined(k: Int[Array, ""], total: Moments, batch: Moments) -> Moments:
    """The moments of k batches and of one more, without a difference of squares."""
    step = batch["mean"] - total["mean"]
    mean = total["mean"] + step / (k + 1)
    # (k+1)σ² ← kσ² + σ_B² + (μ_B − μ_k)(μ_B − μ_{k+1})
    spread = batch["variance"] + step * (batch["mean"] - mean)
    variance = total["variance"] + (spread - total["variance"]) / (k + 1)
    return {"mean": mean, "variance": variance}


def _are_moments(node: Any) -> bool:
    return isinstance(node, dict) and node.keys() == {"mean", "variance"}
