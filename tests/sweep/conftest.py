"""A small data set and a small training function, shared by the engine's tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wdjax
from wdjax import sweep
from wdjax.data import Dataset, Split


def random_dataset(n=20, classes=3):
    rng = np.random.default_rng(0)

    def split(size):
        images = rng.integers(0, 256, (size, 2, 2, 3), dtype=np.uint8)
        return Split(images, rng.integers(0, classes, size).astype(np.int32))

    names = tuple(map(str, range(classes)))
    splits = (split(n), split(7), split(11))
    return Dataset("random", "nobody", "CC0", names, *splits)


def init(key):
    return {"kernel": 0.1 * jax.random.normal(key, (12, 3)), "bias": jnp.zeros(3)}


def apply(params, images):
    x = images.reshape(images.shape[0], -1)
    return x @ params["kernel"] + params["bias"][None]


def make_optimizer(hypers):
    return wdjax.adamw(hypers["learning_rate"], hypers["decay"])


@pytest.fixture(scope="session")
def dataset():
    return random_dataset()


@pytest.fixture(scope="session")
def train():
    return sweep.make_train(
        init, apply, make_optimizer, steps=12, batch_size=6, records=4
    )


@pytest.fixture
def linear():
    return init, apply, make_optimizer
