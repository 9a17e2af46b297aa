"""Draws of 16 bits: against Threefry in NumPy, and spent without a remainder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from wdjax import gate
from wdjax.decay import draws, precision

KEY = jax.random.key(7, impl="threefry2x32")
EVERY = np.arange(2**16, dtype=np.uint16)


def threefry(key, counter):
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
    assert threefry((0, 0), (0, 0)) == (0x6B200159, 0x99BA4EFE)
    ones = (2**32 - 1, 2**32 - 1)
    assert threefry(ones, ones) == (0x1CB996FC, 0xBB002BE7)


@pytest.mark.parametrize("shape", [(2, 3, 7), (5, 8), (9,), (1, 1), (0, 4), ()])
def test_draws_are_quarters_of_the_blocks_of_threefry(shape):
    key = [int(k) for k in jax.random.key_data(KEY)]
    rows, last = int(np.prod(shape[:-1])), (shape or (1,))[-1]
    by_hand = np.zeros((rows, last), np.uint16)
    for row in range(rows):
        for column in range(last):
            word = threefry(key, (row, column // 4))[column % 4 // 2]
            by_hand[row, column] = word >> 16 * (column % 2) & 0xFFFF
    drawn = draws.sixteen_bits(KEY, shape)
    np.testing.assert_array_equal(drawn, by_hand.reshape(shape))
    assert drawn.dtype == jnp.uint16


def test_rows_on_several_devices_have_the_draws_of_one():
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("rows",))
    rows = NamedSharding(mesh, PartitionSpec("rows"))
    spread = jax.jit(
        lambda key: draws.sixteen_bits(key, (4 * len(devices), 6)), out_shardings=rows
    )(KEY)
    alone = draws.sixteen_bits(KEY, (4 * len(devices), 6))
    np.testing.assert_array_equal(spread, alone)


def test_keys_do_not_follow_the_default_generator():
    with jax.default_prng_impl("rbg"):
        other = draws.leaf_key(3, jnp.array(2), 1)
    np.testing.assert_array_equal(
        jax.random.key_data(other), jax.random.key_data(draws.leaf_key(3, 2, 1))
    )


@pytest.mark.parametrize("probability", [0.3, 0.9, 1 / 7, 1e-3, 1e-7, 1.0])
def test_over_all_outcomes_a_gate_lets_through_exactly_the_pull(
    monkeypatch, probability
):
    monkeypatch.setattr("wdjax.decay.gate.sixteen_bits", lambda key, shape: EVERY)
    x = jnp.ones(len(EVERY))
    factors = gate.stochastic(probability).opening(x, x, 0, 0)
    assert np.mean(factors) == pytest.approx(1, rel=1e-14)
    share = max(round(probability * 2**16), 1) / 2**16
    assert np.mean(factors > 0) == share


@pytest.mark.parametrize(
    ("dtype", "x"),
    [
        (jnp.bfloat16, 1 + 2.0**-23),
        (jnp.bfloat16, -(2 - 2.0**-23)),
        (jnp.bfloat16, 3e-20),
        (jnp.float16, 1 + 2.0**-13 + 2.0**-23),
        (jnp.float16, -70.2),
    ],
)
def test_over_all_outcomes_rounding_has_exactly_the_mean(monkeypatch, dtype, x):
    monkeypatch.setattr("wdjax.decay.precision.sixteen_bits", lambda key, shape: EVERY)
    x = np.float32(x)
    rounded = precision._at_random(jnp.full(len(EVERY), x), dtype, KEY)
    assert np.mean(np.float64(rounded)) == np.float64(x)
    assert len(np.unique(rounded)) == 2


def test_a_subnormal_of_float16_keeps_its_mean_within_a_draw(monkeypatch):
    monkeypatch.setattr("wdjax.decay.precision.sixteen_bits", lambda key, shape: EVERY)
    x, gap = np.float32(3.3e-7), 2.0**-24
    rounded = precision._at_random(jnp.full(len(EVERY), x), jnp.float16, KEY)
    assert abs(np.mean(np.float64(rounded)) - x) <= gap * 2.0**-17
