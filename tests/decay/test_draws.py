"""Draws: against Threefry in Python's integers, and spent without a remainder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry2x32_p
from jax.sharding import NamedSharding, PartitionSpec

from wdjax import gate
from wdjax.decay import draws, precision

KEY = jax.random.fold_in(jax.random.key(7, impl="threefry2x32"), 1)  # two words
EVERY = np.arange(2**24, dtype=np.uint32) << 8  # every draw, as far as it is used


def threefry_by_hand(key, counter):
    """Salmon et al. 2011, Threefry-2x32 of 20 rounds, in Python's integers."""
    mask = 2**32 - 1
    keys = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    x, y = ((c + k) & mask for c, k in zip(counter, key, strict=True))
    for block in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
            x = (x + y) & mask
            y = ((y << turn | y >> (32 - turn)) & mask) ^ x
        x = (x + keys[(block + 1) % 3]) & mask
        y = (y + keys[(block + 2) % 3] + block + 1) & mask
    return x, y


def test_the_oracle_gives_the_published_answers():
    """Known answers of Random123, `kat_vectors`, threefry2x32 20."""
    assert threefry_by_hand((0, 0), (0, 0)) == (0x6B200159, 0x99BA4EFE)
    ones = (2**32 - 1, 2**32 - 1)
    assert threefry_by_hand(ones, ones) == (0x1CB996FC, 0xBB002BE7)


def test_the_rounds_are_those_of_jax():
    """Eager, and inside jit."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(2**32, size=(2, 1000), dtype=np.uint32)
    key = jax.random.key_data(KEY)
    expected, _ = threefry2x32_p.bind(*key, x, y)
    for function in (draws.threefry, jax.jit(draws.threefry)):
        np.testing.assert_array_equal(function(*key, x, y), expected)


@pytest.mark.parametrize("shape", [(2, 3, 7), (5, 8), (9,), (1, 1), (0, 4), ()])
def test_an_entry_has_the_block_of_its_row_and_column(shape):
    key = [int(k) for k in jax.random.key_data(KEY)]
    rows, last = int(np.prod(shape[:-1])), (shape or (1,))[-1]
    by_hand = [
        threefry_by_hand(key, (row, column))[0]
        for row in range(rows)
        for column in range(last)
    ]
    drawn = draws.words(KEY, shape)
    np.testing.assert_array_equal(drawn, np.reshape(by_hand, shape))
    assert drawn.dtype == jnp.uint32


def test_rows_on_several_devices_have_the_draws_of_one():
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("rows",))
    rows = NamedSharding(mesh, PartitionSpec("rows"))
    spread = jax.jit(
        lambda key: draws.words(key, (4 * len(devices), 6)), out_shardings=rows
    )(KEY)
    alone = draws.words(KEY, (4 * len(devices), 6))
    np.testing.assert_array_equal(spread, alone)


def test_keys_do_not_follow_the_default_generator():
    with jax.default_prng_impl("rbg"):
        other = draws.leaf_key(3, jnp.array(2), 1)
    np.testing.assert_array_equal(
        jax.random.key_data(other), jax.random.key_data(draws.leaf_key(3, 2, 1))
    )


@pytest.mark.parametrize("probability", [0.3, 0.9, 1 / 7, 1e-3, 1e-9, 1.0])
def test_over_all_outcomes_a_gate_lets_through_exactly_the_pull(
    monkeypatch, probability
):
    monkeypatch.setattr("wdjax.decay.draws.words", lambda key, shape: EVERY)
    x = jnp.ones(len(EVERY))
    factors = gate.stochastic(probability).opening(x, x, 0, 0)
    assert np.mean(np.float64(factors)) == pytest.approx(1, rel=1e-12, abs=0)
    share = max(round(probability * 2**24), 1) / 2**24
    assert np.mean(factors > 0) == share


@pytest.mark.parametrize(
    ("dtype", "x"),
    [
        (jnp.bfloat16, 1 + 2.0**-23),
        (jnp.bfloat16, -(2 - 2.0**-23)),
        (jnp.bfloat16, 3e-20),
        (jnp.float16, 1 + 2.0**-13 + 2.0**-23),
        (jnp.float16, -70.2),
        (jnp.float16, 3.3e-7),  # subnormal
    ],
)
def test_over_all_outcomes_rounding_has_exactly_the_mean(monkeypatch, dtype, x):
    monkeypatch.setattr("wdjax.decay.draws.words", lambda key, shape: EVERY)
    x = np.float32(x)
    rounded = precision._at_random(jnp.full(len(EVERY), x), dtype, KEY)
    assert np.mean(np.float64(rounded)) == np.float64(x)
    assert len(np.unique(rounded)) == 2
