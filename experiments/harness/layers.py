r"""Norms, gradients and rotations of layers while an optimizer runs on them.

Every leaf of the parameters is a layer. What its gradient is, is a function of the
parameters and the step: noise (:func:`noise`), or a minibatch's (:func:`minibatches`).
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from wdjax import models
from wdjax.sweep.batches import Arrays, standardised
from wdjax.sweep.evaluate import cross_entropy

Gradient: TypeAlias = Callable[[PyTree, Int[Array, ""]], PyTree]
Series: TypeAlias = Float[Array, "records layers"]


class Layers(NamedTuple):
    r"""Root mean squares over the steps of each record, layer by layer.

    Attributes:
        norm: :math:`\|w_t\|`.
        gradient: :math:`\|g_t\|`, before the optimizer.
        unit_gradient: :math:`\|g_t\|\|w_t\|`, the gradient at unit norm.
        rotation: the angle between :math:`w_t` and :math:`w_{t+1}`, in radians.
    """

    norm: Series
    gradient: Series
    unit_gradient: Series
    rotation: Series


def follow(
    optimizer: optax.GradientTransformation,
    gradient: Gradient,
    params: PyTree,
    *,
    steps: int,
    records: int,
) -> tuple[PyTree, Layers]:
    """Run an optimizer and watch every layer in every step.

    Args:
        optimizer: learning rate and decay included.
        gradient: of the parameters at a step, counted from 0.
        params: at the start; each leaf is a layer.
        steps: a multiple of ``records``.
        records: stretches over whose steps the means are taken.

    Returns:
        The parameters at the end, and the records.
    """
    every = steps // records

    def step(carry: PyTree, t: Int[Array, ""]) -> tuple[PyTree, Layers]:
        params, state = carry
        grads = gradient(params, t)
        updates, state = optimizer.update(grads, state, params)
        seen = jax.tree.map(_squares, params, grads, updates)
        columns = zip(*jax.tree.leaves(seen, is_leaf=_is_layers), strict=True)
        layers = Layers(*map(jnp.stack, columns))
        return (optax.apply_updates(params, updates), state), layers

    def record(carry: PyTree, first: Int[Array, ""]) -> tuple[PyTree, Layers]:
        carry, squares = jax.lax.scan(step, carry, first + jnp.arange(every))
        return carry, jax.tree.map(lambda x: jnp.sqrt(x.mean(axis=0)), squares)

    start = (params, optimizer.init(params))
    (params, _), layers = jax.lax.scan(record, start, every * jnp.arange(records))
    return params, layers


def settled(
    series: Float[Array, "seeds records layers"],
) -> Float[np.ndarray, "seeds layers"]:
    """Root mean square over the last half of the records, for each seed and layer."""
    last = np.asarray(series, np.float64)[:, series.shape[1] // 2 :]
    return np.sqrt(np.mean(last**2, axis=1))


def group_rms(
    optimizer: optax.GradientTransformation,
    gradient: Gradient,
    w: Float[Array, " d"],
    *,
    groups: int,
    steps: int,
) -> Float[Array, " groups"]:
    """Root mean squares of equal parts of one layer, over the last half of the steps.

    Args:
        optimizer: learning rate and decay included.
        gradient: of the layer at a step, counted from 0.
        w: at the start.
        groups: parts of neighbouring entries; a divisor of d.
        steps: of the run.
    """

    def step(carry: PyTree, t: Int[Array, ""]) -> tuple[PyTree, Array]:
        w, state = carry
        updates, state = optimizer.update(gradient(w, t), state, w)
        w = w + jnp.asarray(updates)
        return (w, state), jnp.mean(w.reshape(groups, -1) ** 2, axis=1)

    _, squares = jax.lax.scan(step, (w, optimizer.init(w)), jnp.arange(steps))
    return jnp.sqrt(squares[steps // 2 :].mean(axis=0))


def _squares(w: Array, g: Array, u: Array) -> Layers:
    ww, gg, wu = jnp.vdot(w, w), jnp.vdot(g, g), jnp.vdot(w, u)
    # The part of u across w, as a vector: ‖u‖² − (w·u)²/‖w‖² would cancel.
    across = jnp.linalg.norm(u - wu / ww * w)
    angle = jnp.arctan2(across, (ww + wu) / jnp.sqrt(ww))
    return Layers(ww, gg, gg * ww, angle**2)


def _is_layers(x: PyTree) -> bool:
    return isinstance(x, Layers)


def noise(key: Key[Array, ""], sigma: PyTree) -> Gradient:
    r"""Gradients of a scale-invariant loss that are all noise.

    Gaussian and independent from step to step, made orthogonal to each layer :math:`w`
    and divided by :math:`\|w\|`.

    Args:
        key: of all steps.
        sigma: the standard deviation of each entry at :math:`\|w\| = 1`.

    Returns:
        The gradient.
    """
    leaves, structure = jax.tree.flatten(sigma)

    def gradient(params: PyTree, t: Int[Array, ""]) -> PyTree:
        keys = jax.random.split(jax.random.fold_in(key, t), len(leaves))
        z = [
            s * jax.random.normal(k, s.shape, s.dtype)
            for k, s in zip(keys, leaves, strict=True)
        ]
        return jax.tree.map(_across, jax.tree.unflatten(structure, z), params)

    return gradient


def _across(z: Array, w: Array) -> Array:
    ww = jnp.vdot(w, w)
    return (z - jnp.vdot(z, w) / ww * w) / jnp.sqrt(ww)


def minibatches(
    key: Key[Array, ""], model: models.Model, data: Arrays, batch_size: int
) -> Gradient:
    """A network's gradients on minibatches, drawn anew in every step.

    With replacement, as the model of equilibrium has it: gradients of the batches of an
    epoch are not independent.

    Args:
        key: of all steps.
        model: parameters and standardised images to logits.
        data: on the device.
        batch_size: images in a minibatch.

    Returns:
        The gradient of the mean cross-entropy.
    """
    count = len(data.train.labels)

    def gradient(params: PyTree, t: Int[Array, ""]) -> PyTree:
        rows = jax.random.randint(jax.random.fold_in(key, t), (batch_size,), 0, count)
        images = standardised(data, data.train.images[rows])
        labels = data.train.labels[rows]

        def loss(params: PyTree) -> Float[Array, ""]:
            return cross_entropy(model.apply(params, images), labels).mean()

        return jax.grad(loss)(params)

    return gradient
