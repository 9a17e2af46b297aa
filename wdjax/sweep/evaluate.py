"""Mean loss and error of a network over whole splits."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from wdjax.sweep.batches import Arrays, Examples, standardised
from wdjax.sweep.population import BATCH, Apply, Collect, settled


def cross_entropy(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"]
) -> Float[Array, " n"]:
    """The loss of each example, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def evaluate(
    apply: Apply,
    params: PyTree,
    data: Arrays,
    examples: Examples,
    *,
    collect: Collect | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Loss and error over all examples, in batches; the last one padded and masked.

    Args:
        apply: parameters and standardised images to logits.
        params: the parameters.
        data: for its mean and deviation.
        examples: which split.
        collect: for batch normalisation, a batch's statistics; evaluation then goes by
            those of the training set (:func:`wdjax.sweep.population.population`), which
            ``apply`` takes as a third argument.

    Returns:
        Mean cross-entropy in nats, and the fraction of errors; both NaN where the
        loss is not finite.
    """
    if collect is not None:
        apply = settled(apply, collect, params, data)
    n = len(examples.labels)
    size = min(BATCH, n)
    rows = jnp.arange(-(-n // size) * size)

    def batch(totals: Array, rows: Int[Array, " batch"]) -> tuple[Array, None]:
        real = rows < n
        images, labels = jax.tree.map(lambda a: a[jnp.minimum(rows, n - 1)], examples)
        logits = apply(params, standardised(data, images))
        wrong = jnp.argmax(logits, axis=-1) != labels
        loss = cross_entropy(logits, labels)
        sums = jnp.stack([jnp.sum(jnp.where(real, x, 0)) for x in (loss, wrong)])
        return totals + sums, None

    start = jnp.zeros(2, jnp.result_type(float))
    totals, _ = jax.lax.scan(batch, start, rows.reshape(-1, size))
    loss, error = totals / n
    finite = jnp.isfinite(loss)
    return jnp.where(finite, loss, jnp.nan), jnp.where(finite, error, jnp.nan)
