"""The three compiled programs of a training, each over all cells of a chunk."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree

from wdjax.sweep.layout import Layout
from wdjax.sweep.training import Outcome, Training

AXIS = "cells"


class Chunk(NamedTuple):
    """What varies between the cells of a chunk, a leading axis of blocks.

    Attributes:
        hypers: ``(blocks, cells of a block)`` numbers for each hyper-parameter.
        seeds: one for each block.
    """

    hypers: Mapping[str, Any]
    seeds: Any


class Programs(NamedTuple):
    """A training over the cells of a chunk, part by part, lowered or compiled.

    Attributes:
        begin: ``(data, chunk) -> states``.
        advance: ``(data, chunk, states, segment) -> (states, record)``; the states
            that come in are given up.
        finish: ``(data, chunk, states) -> outcome``.
    """

    begin: Any
    advance: Any
    finish: Any


def mesh(layout: Layout) -> Mesh:
    """This process's devices, as many as the layout takes."""
    return jax.make_mesh(
        (layout.devices,),
        (AXIS,),
        axis_types=(AxisType.Auto,),
        devices=jax.local_devices()[: layout.devices],
    )


def replicated(data: PyTree, layout: Layout) -> PyTree:
    """The data, once on every device."""
    return jax.device_put(data, NamedSharding(mesh(layout), P()))


def spread(tree: PyTree, layout: Layout) -> PyTree:
    """Arrays with a leading axis of blocks, each device its own."""
    return jax.device_put(tree, NamedSharding(mesh(layout), P(AXIS)))


def chunk_of(
    hypers: Mapping[str, np.ndarray],
    seeds: np.ndarray,
    cell: np.ndarray,
    layout: Layout,
) -> Chunk:
    """The cells of a chunk's slots, on their devices."""
    dtype = jnp.result_type(float)
    chosen = {name: np.asarray(v[cell], dtype) for name, v in hypers.items()}
    return spread(Chunk(chosen, seeds[cell[:, 0]]), layout)


def lower(training: Training, data: PyTree, chunk: Chunk, layout: Layout) -> Programs:
    """The three programs, traced but not yet compiled.

    Args:
        training: what every cell does.
        data: on the devices; only its shapes enter the programs.
        chunk: likewise.
        layout: of the chunk.
    """

    def over_devices(part: Callable[..., Any], *more: P) -> Callable[..., Any]:
        return jax.shard_map(
            part,
            mesh=mesh(layout),
            in_specs=(P(), P(AXIS), *more),
            out_specs=P(AXIS),
            check_vma=False,  # cells share nothing: there is no collective to check
        )

    def on_devices(shapes: PyTree) -> PyTree:
        sharding = NamedSharding(mesh(layout), P(AXIS))
        return jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes
        )

    begin = jax.jit(over_devices(_begin(training, layout.block)))
    advance = jax.jit(
        over_devices(_advance(training, layout.block), P(AXIS), P()), donate_argnums=2
    )
    finish = jax.jit(over_devices(_finish(training, layout.block), P(AXIS)))
    begun = begin.lower(data, chunk)
    states = on_devices(begun.out_info)
    advanced = advance.lower(data, chunk, states, jnp.zeros((), jnp.int32))
    states = on_devices(advanced.out_info[0])
    return Programs(begun, advanced, finish.lower(data, chunk, states))


def _begin(training: Training, size: int) -> Callable[..., PyTree]:
    """``(data, chunk) -> states`` on one device, block after block."""
    in_block = _in_block(training.begin, size)
    return lambda data, chunk: jax.lax.map(lambda one: in_block(data, one), chunk)


def _advance(training: Training, size: int) -> Callable[..., tuple[PyTree, Outcome]]:
    """``(data, chunk, states, segment) -> (states, record)`` on one device."""
    in_block = _in_block(training.advance, size, 0, None)

    def advance(
        data: PyTree, chunk: Chunk, states: PyTree, segment: Array
    ) -> tuple[PyTree, Outcome]:
        if training.segments == 1:  # the state may change its form
            return jax.lax.map(
                lambda x: in_block(data, x[0], x[1], segment), (chunk, states)
            )

        def one_block(states: PyTree, x: tuple[Array, Chunk]) -> tuple[PyTree, Outcome]:
            i, one = x
            state = jax.tree.map(lambda a: a[i], states)
            state, record = in_block(data, one, state, segment)
            return jax.tree.map(lambda a, new: a.at[i].set(new), states, state), record

        return jax.lax.scan(one_block, states, (jnp.arange(len(chunk.seeds)), chunk))

    return advance


def _finish(training: Training, size: int) -> Callable[..., Outcome]:
    """``(data, chunk, states) -> outcome`` on one device."""
    in_block = _in_block(training.finish, size, 0)
    return lambda data, chunk, states: jax.lax.map(
        lambda x: in_block(data, *x), (chunk, states)
    )


def _in_block(
    part: Callable[..., Any], size: int, *axes: int | None
) -> Callable[..., Any]:
    """A part of a training over the cells of a block, which share data and key."""

    def run(data: PyTree, one: Chunk, *more: Any) -> Any:
        key = jax.random.key(one.seeds)
        if size > 1:
            together = jax.vmap(part, in_axes=(None, 0, None, *axes))
            return together(data, one.hypers, key, *more)
        hypers = _only(one.hypers)
        alone = [
            _only(x) if axis == 0 else x for x, axis in zip(more, axes, strict=True)
        ]
        return jax.tree.map(lambda a: a[None], part(data, hypers, key, *alone))

    return run


def _only(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a[0], tree)
