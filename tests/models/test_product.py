"""The product of a linear layer: the plain one, differentiated in blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from wdjax.models import mlp, product

X = jax.random.normal(jax.random.key(0), (5, 12))
W = jax.random.normal(jax.random.key(1), (12, 2))
PLAIN = (((1,), (0,)), ((), ()))


def plain(x, w):
    return x @ w


def blocked(x, w):
    return product.product(x, w, 3)


def gradients(f):
    return jax.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), argnums=(0, 1))


def direction(f):
    return lambda x, w: jax.jvp(f, (x, w), (jnp.cos(x), jnp.sin(w)))


DERIVATIVES = {
    "value": lambda f: f,
    "gradients": gradients,
    "jvp": direction,
    "hessian-vector product": lambda f: direction(gradients(f)),
    "of the gradients": lambda f: gradients(lambda x, w: gradients(f)(x, w)[1]),
    "vmapped": lambda f: jax.vmap(gradients(f), in_axes=(None, 0)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_blocks_change_no_derivative(name):
    derivative = DERIVATIVES[name]
    w = jnp.stack([W, 2 * W]) if name == "vmapped" else W
    ours, theirs = (jax.jit(derivative(f))(X, w) for f in (blocked, plain))
    # float64: sums of at most 12 products, twice.
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("inputs", "outputs", "blocks"),
    [
        (3072, 128, 8),
        (3072, 384, 8),
        (3072, 385, 1),  # not tall
        (784, 64, 2),
        (767, 64, 1),  # a second block would have 383 rows
        (1541, 64, 1),  # 4 blocks would be large enough, but 1541 = 23 · 67
        (128, 10, 1),
        (8, 1, 1),
    ],
)
def test_blocks_have_384_rows_or_more(inputs, outputs, blocks):
    assert product.blocks_of_rows(inputs, outputs) == blocks


@pytest.mark.parametrize(
    ("backend", "inputs", "options", "expected"),
    [
        ("cpu", 768, {"out_sharding": None}, True),
        ("cpu", 767, {}, False),
        ("gpu", 768, {}, False),
        ("cpu", 768, {"preferred_element_type": jnp.float32}, False),
    ],
)
def test_blocks_are_for_tall_kernels_on_cpu(
    monkeypatch, backend, inputs, options, expected
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, w = jnp.ones((2, inputs)), jnp.ones((inputs, 3))
    program = jax.make_jaxpr(lambda x, w: product.dot_general(x, w, PLAIN, **options))
    assert ("custom_jvp_call" in str(program(x, w))) == expected


def test_more_axes_are_left_to_lax():
    x, w = jnp.ones((2, 3, 768)), jnp.ones((768, 3))
    dimensions = (((2,), (0,)), ((), ()))
    np.testing.assert_array_equal(
        product.dot_general(x, w, dimensions), lax.dot_general(x, w, dimensions)
    )


def test_the_hidden_layers_of_an_mlp_use_it():
    model = mlp((64,), input_shape=(32, 32, 3))
    params = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    assert "custom_jvp_call[\n" in str(jax.make_jaxpr(model.apply)(params, images))
