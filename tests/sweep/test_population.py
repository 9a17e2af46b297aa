"""Batch normalisation is evaluated by statistics of the whole training set."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.sweep.conftest import random_dataset
from wdjax import sweep
from wdjax.sweep.batches import standardised
from wdjax.sweep.evaluate import evaluate
from wdjax.sweep.population import population

pytestmark = pytest.mark.slow  # large networks are compiled

EPSILON = 0.1
# float32 pixels and parameters in float64: a few units in float32's last place.
ROUNDING = 1e-6


def init(key):
    one, two = jax.random.split(key)
    return {
        "first": jax.random.normal(one, (12, 4)),
        "second": jax.random.normal(two, (4, 3)),
    }


def forward(params, images, given):
    """Two layers, each behind a batch normalisation over the images."""
    h, seen = images.reshape(len(images), -1), {}
    for name in ("first", "second"):
        h = h @ params[name]
        own = {"mean": h.mean(0), "variance": h.var(0)}
        seen[name] = {"norm": own if given is None else given[name]["norm"]}
        mean, variance = seen[name]["norm"]["mean"], seen[name]["norm"]["variance"]
        h = (h - mean[None]) / jnp.sqrt(variance[None] + EPSILON)
    return h, seen


def apply(params, images, statistics=None):
    return forward(params, images, statistics)[0]


def collect(params, images):
    return forward(params, images, None)[1]


def prepared(n):
    data = sweep.arrays(random_dataset(n))
    return data, init(jax.random.key(1))


def by_hand(data, params, chunks):
    """NumPy: the moments of each chunk, then of all; statistics of both layers."""
    x = np.asarray(standardised(data, data.train.images), np.float64)
    x = x.reshape(len(x), -1)
    statistics = []
    for name in ("first", "second"):
        h = [chunk @ np.asarray(params[name]) for chunk in (x[c] for c in chunks)]
        means = np.stack([one.mean(0) for one in h])
        second = np.stack([(one**2).mean(0) for one in h]).mean(0)
        mean = means.mean(0)
        statistics.append((mean, second - mean**2))
        h = [(o - o.mean(0)) / np.sqrt(o.var(0) + EPSILON) for o in h]
        x = np.empty((len(x), h[0].shape[1]))
        for chunk, one in zip(chunks, h, strict=True):
            x[chunk] = one
    return statistics


@pytest.mark.parametrize(("n", "batches"), [(1, 1), (20, 1), (1000, 2), (1203, 3)])
def test_statistics_are_those_of_the_whole_training_set(n, batches):
    data, params = prepared(n)
    seen = jax.jit(population, static_argnums=0)(collect, params, data)
    order = np.asarray(jax.random.permutation(jax.random.key(0), n))
    expected = by_hand(data, params, np.split(order, batches))
    for name, (mean, variance) in zip(("first", "second"), expected, strict=True):
        norm = seen[name]["norm"]
        np.testing.assert_allclose(norm["mean"], mean, atol=ROUNDING)
        np.testing.assert_allclose(
            norm["variance"], variance, rtol=ROUNDING, atol=ROUNDING
        )
    # Of the first layer they do not depend on the batches.
    x = np.asarray(standardised(data, data.train.images)).reshape(n, -1)
    h = x @ np.asarray(params["first"])
    np.testing.assert_allclose(
        seen["first"]["norm"]["variance"], h.var(0), rtol=ROUNDING, atol=ROUNDING
    )


def test_only_what_does_not_fill_a_batch_is_left_out():
    """501 images are two batches of 250."""
    data, params = prepared(501)
    seen = jax.jit(population, static_argnums=0)(collect, params, data)
    rows = np.asarray(jax.random.permutation(jax.random.key(0), 501))[:500]
    expected = by_hand(data, params, np.split(rows, 2))
    np.testing.assert_allclose(
        seen["second"]["norm"]["variance"], expected[1][1], rtol=ROUNDING
    )


def test_batches_of_a_sorted_training_set_are_mixed():
    """Dark images first: were the batches dark and bright, their own would be 0."""
    dataset = random_dataset(1000)
    images = np.repeat([0, 255], 500).astype(np.uint8)
    images = np.broadcast_to(images[:, None, None, None], (1000, 2, 2, 3))
    data = sweep.arrays(dataset)
    data = data._replace(train=data.train._replace(images=jnp.asarray(images)))
    seen = population(collect, init(jax.random.key(1)), data)
    # Each batch is then half dark, and the second layer sees about ±1.
    assert np.max(seen["second"]["norm"]["variance"]) > 0.5


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_evaluation_goes_by_the_training_set_however_the_split_is_batched(split):
    data, params = prepared(1203)
    examples = getattr(data, split)
    n = len(examples.labels)
    loss, error = evaluate(apply, params, data, examples, collect=collect)
    statistics = population(collect, params, data)
    logits = np.concatenate(
        [
            apply(params, standardised(data, examples.images[i : i + 5]), statistics)
            for i in range(0, n, 5)
        ]
    )
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = np.asarray(examples.labels)
    expected = -log_p[np.arange(n), labels].mean()
    np.testing.assert_allclose(loss, expected, rtol=ROUNDING)
    np.testing.assert_allclose(error, (logits.argmax(1) != labels).mean())


def test_cells_of_a_grid_have_statistics_of_their_own():
    """Each learning rate alone, and all at once by vmap."""
    train = sweep.make_train(
        init,
        apply,
        lambda hypers: optax.sgd(hypers["learning_rate"]),
        steps=6,
        batch_size=10,
        records=2,
        collect=collect,
    )
    data, key = sweep.arrays(random_dataset(1000)), jax.random.key(2)
    rates = jnp.array([0.0, 0.3, 3.0])
    cells = jax.jit(jax.vmap(train, (None, 0, None)))
    together = cells(data, {"learning_rate": rates}, key)
    for i, rate in enumerate(rates):
        alone = jax.jit(train)(data, {"learning_rate": rate}, key)
        for name in ("train_loss", "test_loss"):
            np.testing.assert_allclose(together[name][i], alone[name], rtol=1e-9)
    assert len(set(np.asarray(together["test_loss"]))) == 3


def test_a_run_trains_by_batches_and_is_evaluated_by_the_training_set():
    models = pytest.importorskip("wdjax.models", reason="needs Flax")
    dataset = random_dataset()
    network = models.resnet(8, 3, widths=(2, 3, 4), input_shape=(2, 2, 3))
    train = sweep.make_train(
        network.init,
        network.apply,
        lambda hypers: optax.sgd(hypers["learning_rate"]),
        steps=2,
        batch_size=10,
        records=2,
        collect=network.collect,
    )
    data, key = sweep.arrays(dataset), jax.random.key(2)
    outcome = jax.jit(train)(data, {"learning_rate": jnp.asarray(0.0)}, key)
    init_key, order_key = jax.random.split(key)
    params = jax.jit(network.init)(init_key)
    x = standardised(data, data.train.images)

    def loss(logits, labels):
        return -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels].mean()

    order = jax.random.permutation(jax.random.fold_in(order_key, 0), 20)
    forward = jax.jit(network.apply)
    for t, rows in enumerate((order[:10], order[10:])):
        expected = loss(forward(params, x[rows]), data.train.labels[rows])
        np.testing.assert_allclose(outcome["loss"][t], expected, rtol=1e-5)
    # Twenty images are one batch.
    statistics = jax.jit(network.collect)(params, x)
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        logits = forward(params, standardised(data, split.images), statistics)
        np.testing.assert_allclose(
            outcome[f"{name}_loss"], loss(logits, split.labels), rtol=1e-5
        )
