"""What a program's outputs depend on is told from its text, on the safe side."""

import jax
import jax.numpy as jnp
import pytest

from wdjax.inspect.dependence import sources

X = Y = jnp.ones(3)


def squared(x, y):
    del y
    return x * x


def normed(x, y):
    return x / jnp.linalg.norm(y)


def branched(x, y):
    return jax.lax.cond(y[0] > 0, lambda: x, lambda: 2 * x)


def chosen(x, y):
    return jnp.where(y > 0, x, 2 * x)


def carried(x, y):
    """The first only holds x at its start; it has y after a round, by the second."""
    return jax.lax.scan(lambda c, _: ((c[1], c[1]), None), (x, y), length=3)[0][0]


def stacked(x, y):
    del y
    return jax.lax.scan(lambda c, a: (c + a, c), 0.0, x)[1]


def counted(x, y):
    """A loop's length is a branch taken for all."""

    def double(carry):
        return 2 * carry[0], carry[1] + 1

    return jax.lax.while_loop(lambda carry: carry[1] < y[0], double, (x, 0))[0]


def finite(x, y):
    return jax.lax.cond(jnp.isfinite(y).all(), lambda: x, lambda: 0 * x)


def dead(x, y):
    return x + 0 * len(y)


def inside(x, y):
    return jax.jit(lambda x, y: (x, y * y))(y, x)[0]


def positional(x, y):
    return jax.lax.optimization_barrier((x, y))[0]


def unknown_call(x, y):
    return jnp.sort(x) + jnp.cumsum(y)


@pytest.mark.parametrize(
    ("program", "inputs", "mixed"),
    [
        (squared, {0}, set()),
        (normed, {0, 1}, {1}),
        (branched, {0, 1}, {1}),
        (chosen, {0, 1}, set()),
        (carried, {0, 1}, set()),
        (stacked, {0}, {0}),
        (counted, {0, 1}, {1}),
        (finite, {0}, set()),
        (dead, {0}, set()),
        (inside, {1}, set()),
        (positional, {0}, set()),
        (unknown_call, {0, 1}, {0, 1}),
    ],
)
def test_the_sources_of_a_program(program, inputs, mixed):
    (found,) = sources(program, X, Y)
    assert (found.inputs, found.mixed) == (inputs, mixed)
