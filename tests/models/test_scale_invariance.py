"""The networks behind the claims about scale-invariant weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wdjax.models import Model, cnn, mlp, standardise
from wdjax.models.model import paths

SHAPE = (8, 8, 3)
LABELS = jnp.arange(6) % 5
MODELS = {"mlp": (mlp, (9, 7)), "cnn": (cnn, (4, 6, 5))}


def build(name, *, dtype=jnp.float64, **options):
    make, widths = MODELS[name]
    model = make(widths, 5, input_shape=SHAPE, dtype=dtype, **options)
    images = jax.random.normal(jax.random.key(1), (6, *SHAPE), dtype)
    params = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0)))
    return Model(model.init, jax.jit(model.apply)), params, images


def scaled(params, path, c):
    """Multiply the one leaf at ``path`` by ``c``."""
    leaves, treedef = jax.tree.flatten(params)
    names = paths(params)
    return treedef.unflatten(
        [
            c * leaf if name == path else leaf
            for name, leaf in zip(names, leaves, strict=True)
        ]
    )


def loss(model, images):
    def of(params):
        logits = model.apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()

    return of


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", MODELS)
def test_logits_do_not_change_a_bit_when_a_layer_is_scaled_by_4(name, dtype):
    model, params, images = build(name, dtype=dtype, scale_invariant=True, epsilon=0.0)
    logits = model.apply(params, images)
    assert logits.dtype == dtype
    for path in paths(params):
        moved = scaled(params, path, 4)
        np.testing.assert_array_equal(model.apply(moved, images), logits, err_msg=path)
    everything = jax.tree.map(lambda leaf: 4 * leaf, params)
    np.testing.assert_array_equal(model.apply(everything, images), logits)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_of_the_scaled_network_is_exactly_the_gradient_over_4(name):
    # f(cw) = f(w) for all w gives ∇f(cw) = ∇f(w)/c.
    model, params, images = build(name, scale_invariant=True, epsilon=0.0)
    gradient = jax.jit(jax.grad(loss(model, images)))
    moved = gradient(jax.tree.map(lambda leaf: 4 * leaf, params))
    for one, two in zip(
        jax.tree.leaves(gradient(params)), jax.tree.leaves(moved), strict=True
    ):
        np.testing.assert_array_equal(one, 4 * two)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_orthogonal_to_every_scale_invariant_layer(name):
    # Euler: d/dc f(cw) = ⟨w, ∇f(cw)⟩ = 0.
    model, params, images = build(name, scale_invariant=True, epsilon=0.0)
    grads = jax.jit(jax.grad(loss(model, images)))(params)
    for path, w, g in zip(
        paths(params), jax.tree.leaves(params), jax.tree.leaves(grads), strict=True
    ):
        scale = np.linalg.norm(w) * np.linalg.norm(g)
        assert scale > 1e-3, path
        # Cosine of the angle: a sum of a few hundred terms in float64.
        assert abs(np.vdot(w, g)) < 1e-13 * scale, path


@pytest.mark.parametrize("name", MODELS)
def test_with_normalised_hidden_layers_only_the_output_depends_on_its_scale(name):
    model, params, images = build(name, normalise=True, epsilon=0.0)
    logits = model.apply(params, images)
    for path in paths(params):
        moved = model.apply(scaled(params, path, 4), images)
        if path.startswith("hidden"):
            np.testing.assert_array_equal(moved, logits, err_msg=path)
    assert np.max(np.abs(model.apply(scaled(params, "output/kernel", 4), images))) > (
        2 * np.max(np.abs(logits))
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"scale_invariant": True, "epsilon": 1.0}])
def test_without_normalisation_or_with_epsilon_the_scale_shows(name, options):
    model, params, images = build(name, **options)
    moved = model.apply(scaled(params, "hidden_0/kernel", 4), images)
    assert np.max(np.abs(moved - model.apply(params, images))) > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_epsilon_scaled_by_c_squared_restores_the_invariance(name):
    # CLAIMS 2: c²x has variance c²σ², so ε → c²ε gives the same quotient.
    small, params, images = build(name, scale_invariant=True, epsilon=0.1)
    large, _, _ = build(name, scale_invariant=True, epsilon=16 * 0.1)
    # Every layer scaled: each normaliser sees 4 times its old input.
    moved = jax.tree.map(lambda leaf: 4 * leaf, params)
    np.testing.assert_array_equal(
        large.apply(moved, images), small.apply(params, images)
    )


def test_standardised_activations_have_mean_0_and_variance_1_on_their_axes():
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 4, 5, 6))
    y = np.asarray(standardise(x, (1, 2, 3), 0.0))
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var((1, 2, 3)), 1, rtol=1e-13)
    np.testing.assert_allclose(
        standardise(x, -1, 0.5),
        (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.5),
        rtol=1e-12,
    )
