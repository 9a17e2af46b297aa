"""Normalisation of channels, by NumPy and by PyTorch."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdjax.models.channel_norms import BatchNorm, GroupNorm, make_norm

X = 2 + 3 * jax.random.normal(jax.random.key(0), (5, 4, 3, 6))
EPSILON = 0.2
# float64: sums of 60 numbers.
ROUNDING = 1e-12


def drawn(layer):
    """Other gains and biases than 1 and 0."""
    if hasattr(layer, "scale"):
        layer.scale[...] = jnp.asarray(np.linspace(0.5, 2.0, 6))
    layer.bias[...] = jnp.asarray(np.linspace(-1.0, 1.0, 6))
    return layer


def by_hand(x, mean, variance):
    y = (np.asarray(x) - mean) / np.sqrt(variance + EPSILON)
    return np.linspace(0.5, 2.0, 6) * y + np.linspace(-1.0, 1.0, 6)


@pytest.fixture
def batch_norm():
    return drawn(BatchNorm(6, epsilon=EPSILON, dtype=jnp.float64))


@pytest.fixture
def group_norm():
    return drawn(GroupNorm(6, groups=3, epsilon=EPSILON, dtype=jnp.float64))


def test_a_batch_is_normalised_by_its_own_statistics(batch_norm):
    y, seen = batch_norm(X)
    mean, variance = np.asarray(X).mean((0, 1, 2)), np.asarray(X).var((0, 1, 2))
    np.testing.assert_allclose(y, by_hand(X, mean, variance), rtol=ROUNDING)
    np.testing.assert_allclose(seen["mean"], mean, rtol=ROUNDING)
    np.testing.assert_allclose(seen["variance"], variance, rtol=ROUNDING)


def test_statistics_that_are_given_are_used_and_returned(batch_norm):
    given = {"mean": jnp.arange(6.0), "variance": jnp.arange(1.0, 7.0)}
    y, seen = batch_norm(X, given)
    expected = by_hand(X, np.arange(6.0), np.arange(1.0, 7.0))
    np.testing.assert_allclose(y, expected, rtol=ROUNDING)
    assert seen is given
    np.testing.assert_array_equal(batch_norm(X[:2], given)[0], y[:2])


def test_batch_and_group_normalisation_are_pytorch_s(batch_norm, group_norm):
    torch = pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    layers = (
        (batch_norm, torch.nn.BatchNorm2d(6, eps=EPSILON)),
        (group_norm, torch.nn.GroupNorm(3, 6, eps=EPSILON)),
    )
    for ours, theirs in layers:
        theirs.double().train()
        with torch.no_grad():
            theirs.weight.copy_(torch.linspace(0.5, 2.0, 6, dtype=torch.float64))
            theirs.bias.copy_(torch.linspace(-1.0, 1.0, 6, dtype=torch.float64))
        x = torch.tensor(np.moveaxis(np.asarray(X), 3, 1), requires_grad=True)
        y = theirs(x)
        y.pow(3).sum().backward()
        np.testing.assert_allclose(
            np.moveaxis(np.asarray(ours(X)[0]), 3, 1), y.detach(), rtol=1e-11
        )
        slope = jax.grad(lambda x, ours=ours: jnp.sum(ours(x)[0] ** 3))(X)
        # Gradients are differences of sums of 60 cubes.
        np.testing.assert_allclose(
            np.moveaxis(np.asarray(slope), 3, 1), x.grad, rtol=1e-8, atol=1e-10
        )


def test_a_group_s_statistics_are_those_of_one_image(group_norm):
    y, seen = group_norm(X)
    grouped = np.asarray(X).reshape(5, 4, 3, 3, 2)
    mean = grouped.mean((1, 2, 4)).repeat(2, -1)[:, None, None]
    variance = grouped.var((1, 2, 4)).repeat(2, -1)[:, None, None]
    np.testing.assert_allclose(y, by_hand(X, mean, variance), rtol=ROUNDING)
    assert seen == {}
    np.testing.assert_allclose(group_norm(X[:1])[0], y[:1], rtol=ROUNDING)


def test_without_normalisation_there_is_a_bias_for_each_channel():
    layer = drawn(
        make_norm(None, groups=1, epsilon=EPSILON, dtype=jnp.dtype(jnp.float64))(6)
    )
    assert set(nnx.to_pure_dict(nnx.state(layer, nnx.Param))) == {"bias"}
    y, seen = layer(X)
    np.testing.assert_array_equal(y, np.asarray(X) + np.linspace(-1.0, 1.0, 6))
    assert seen == {}


def test_statistics_of_bfloat16_are_taken_in_float32():
    """2¹² ones and a half: in bfloat16 their sum would stop growing at 256."""
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16).at[0, 0, 0, 0].set(0.5)
    layer = BatchNorm(1, epsilon=1e-5, dtype=jnp.float32)
    y, seen = layer(x)
    assert y.dtype == jnp.bfloat16
    assert seen["mean"].dtype == seen["variance"].dtype == jnp.float32
    n = 64 * 64
    np.testing.assert_allclose(seen["mean"], [1 - 0.5 / n], rtol=1e-6)
    # p(1 − p)/4 for a share p = 1/n of halves; float32, a sum of n terms.
    np.testing.assert_allclose(seen["variance"], [0.25 * (n - 1) / n**2], rtol=1e-4)


@pytest.mark.parametrize("name", ["batch", "group"])
def test_deviations_of_bfloat16_are_float32_and_the_result_bfloat16(name):
    layer = make_norm(name, groups=3, epsilon=EPSILON, dtype=jnp.dtype(jnp.float32))(6)
    x = X.astype(jnp.bfloat16)
    text = str(jax.make_jaxpr(lambda x: layer(x)[0])(x))
    assert re.findall(r":(\w+)\[[\d,]*\] = sqrt ", text) == ["f32"]
    assert layer(x)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("groups", [0, 4])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    with pytest.raises(ValueError, match=rf"groups is {groups}.*the 6 channels"):
        GroupNorm(6, groups=groups, epsilon=EPSILON, dtype=jnp.float64)
