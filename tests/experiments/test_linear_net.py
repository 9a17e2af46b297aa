"""Training of AB on Y, by hand in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.harness import linear_net


def test_the_target_has_its_singular_values():
    Y = linear_net.target((3.0, 1.0, 0.5), 7)
    found = np.linalg.svd(np.asarray(Y), compute_uv=False)
    np.testing.assert_allclose(found, [3.0, 1.0, 0.5], rtol=1e-12)


def test_training_is_gradient_descent_on_half_the_squared_residual():
    Y = linear_net.target((2.0, 0.5), 0)
    found = linear_net.make_train(Y, optax.sgd(0.1), 0.3, 5)(jnp.array(3))
    A, B = 0.3 * np.asarray(jax.random.normal(jax.random.key(3), (2, 2, 2)))
    for _ in range(5):
        R = np.asarray(Y) - A @ B
        A, B = A + 0.1 * R @ B.T, B + 0.1 * A.T @ R
    np.testing.assert_allclose(found["A"], A, rtol=1e-12)  # rounding of float64
    np.testing.assert_allclose(found["B"], B, rtol=1e-12)
