"""What a run's layers are watched by, against arithmetic in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.harness import layers


def test_a_record_holds_root_mean_squares_over_its_steps():
    """Two layers, four steps in two records, gradients that are known beforehand."""
    gs = np.random.default_rng(0).normal(size=(4, 2, 3))
    start = {"a": jnp.array([1.0, 2.0, -1.0]), "b": jnp.array([0.5, 0.0, 3.0])}

    def gradient(params, t):
        return {"a": jnp.array(gs)[t, 0], "b": jnp.array(gs)[t, 1]}

    params, seen = layers.follow(optax.sgd(0.1), gradient, start, steps=4, records=2)
    for i, name in enumerate("ab"):
        w, rows = np.asarray(start[name]), []
        for t in range(4):
            new = w - 0.1 * gs[t, i]
            cosine = w @ new / np.linalg.norm(w) / np.linalg.norm(new)
            g = np.linalg.norm(gs[t, i])
            rows.append(
                [np.linalg.norm(w), g, g * np.linalg.norm(w), np.arccos(cosine)]
            )
            w = new
        squares = np.square(rows).reshape(2, 2, 4).mean(axis=1)
        found = np.stack([field[:, i] for field in seen], axis=1)
        np.testing.assert_allclose(found, np.sqrt(squares), rtol=1e-8)  # of arccos
        np.testing.assert_allclose(params[name], w, rtol=1e-12)


def test_noise_is_orthogonal_and_shorter_where_weights_are_longer():
    sigma = {"a": jnp.full(10_000, 0.03), "b": jnp.full(10_000, 0.01)}
    w = jax.tree.map(lambda s: jax.random.normal(jax.random.key(1), s.shape), sigma)
    gradient = layers.noise(jax.random.key(0), sigma)
    g, longer = gradient(w, 5), gradient(jax.tree.map(lambda x: 4 * x, w), 5)
    for name in "ab":
        assert abs(g[name] @ w[name]) < 1e-12 * jnp.linalg.norm(w[name])
        np.testing.assert_allclose(longer[name], g[name] / 4, rtol=1e-12)
        # √(1/2d) is 0.7 %: 3 standard errors.
        size = jnp.linalg.norm(g[name]) * jnp.linalg.norm(w[name])
        np.testing.assert_allclose(size, 100 * sigma[name][0], rtol=0.021)
    assert not np.allclose(g["a"], gradient(w, 6)["a"])
    assert not np.allclose(g["a"], 3 * g["b"])


def test_group_rms_is_that_of_each_part_over_the_last_half():
    """Two parts, four steps, gradients that are known beforehand."""
    gs = np.random.default_rng(0).normal(size=(4, 6))
    w, squares = np.arange(1.0, 7.0), []
    found = layers.group_rms(
        optax.sgd(0.1), lambda _, t: jnp.array(gs)[t], jnp.array(w), groups=2, steps=4
    )
    for g in gs:
        w = w - 0.1 * g
        squares.append([np.mean(w[:3] ** 2), np.mean(w[3:] ** 2)])
    np.testing.assert_allclose(found, np.sqrt(np.mean(squares[2:], axis=0)), rtol=1e-12)


def test_settled_is_the_root_mean_square_of_the_last_half():
    series = np.array([[[9.0], [9.0], [3.0], [4.0]]])
    np.testing.assert_allclose(layers.settled(jnp.array(series)), [[12.5**0.5]])
