"""Run one training function over a whole grid, as one compiled program."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, PyTree

from wdjax.sweep.cells import Cells, Grid, cells
from wdjax.sweep.train import Outcome, Train


class Layout(NamedTuple):
    """How cells lie on devices.

    Attributes:
        devices: over how many devices the cells are spread.
        block: cells that one device trains at once (``vmap``); it takes its blocks
            one after the other (``lax.map``).
        chunk: cells in one call of the program; after each, progress is reported.
    """

    devices: int
    block: int
    chunk: int


class Progress(NamedTuple):
    """What is known after a chunk."""

    cells_done: int
    cells: int
    seconds: float
    diverged: int


def default_layout(cells: int) -> Layout:
    """One cell at a time on CPU devices, 64 at once on accelerators.

    On a CPU, a cell's weights and moments stay in the cache while it trains; vmapped
    cells push each other out. ``scripts/bench`` measures it. The number for
    accelerators is not measured.

    Args:
        cells: the size of the grid.

    Returns:
        A layout over all of the backend's devices.
    """
    devices = min(jax.device_count(), cells)
    if jax.default_backend() == "cpu":
        return Layout(devices, block=1, chunk=_up(min(8 * devices, cells), devices))
    block = min(64, -(-cells // devices))
    return Layout(devices, block, chunk=block * devices)


def run(
    train: Train,
    grid: Grid,
    data: PyTree,
    *,
    layout: Layout | None = None,
    record_steps: Int[np.ndarray, " records"] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> xr.Dataset:
    """Train every cell of a grid.

    One program is compiled, for a chunk of cells, and called until all are done. A
    chunk that the grid does not fill is padded with copies of its last cell, which are
    dropped from the result.

    Args:
        train: ``(data, hypers, key) -> outcome``, as from :func:`make_train`; a pure
            function whose outcome is a flat dictionary of scalars and curves.
        grid: which cells; an axis named ``x`` arrives as ``hypers["x"]``.
        data: whatever ``train`` takes first; an argument of the program.
        layout: how cells lie on devices; the default suits the backend.
        record_steps: the steps at which curves were recorded, as the coordinate
            ``record``.
        progress: called after each chunk.

    Returns:
        A data set with the grid's axes as dimensions and coordinates, and ``record``
        for curves. Attributes: ``compile_seconds``, ``run_seconds``, ``layout``.

    Raises:
        ValueError: the layout does not fit the devices.
    """
    layout = default_layout(grid.size) if layout is None else layout
    started = time.perf_counter()
    train_chunk = prepare(train, grid, data, layout)
    compiled = time.perf_counter()

    outcomes, diverged = [], 0
    for start in range(0, grid.size, layout.chunk):
        outcomes.append(train_chunk(start))
        done = min(start + layout.chunk, grid.size)
        diverged += int(np.sum(outcomes[-1].get("diverged_at", np.array([-1])) >= 0))
        seconds = time.perf_counter() - compiled
        progress(Progress(done, grid.size, seconds, diverged))

    result = _labelled(outcomes, grid, record_steps)
    result.attrs |= {
        "compile_seconds": compiled - started,
        "run_seconds": time.perf_counter() - compiled,
        "layout": str(layout._asdict()),
    }
    return result


def prepare(
    train: Train, grid: Grid, data: PyTree, layout: Layout
) -> Callable[[int], dict[str, np.ndarray]]:
    """Put the data on the devices and compile the program of a chunk.

    Args:
        train: see :func:`run`.
        grid: see :func:`run`.
        data: see :func:`run`.
        layout: see :func:`run`.

    Returns:
        A function that trains the chunk of cells from ``start`` and returns its
        outcomes, without the copies that pad the last chunk.

    Raises:
        ValueError: the layout does not fit the devices.
    """
    _check_layout(layout)
    data = jax.device_put(data, NamedSharding(_mesh(layout), P()))
    program = lower(train, grid, data, layout).compile()
    flat = cells(grid)

    def train_chunk(start: int) -> dict[str, np.ndarray]:
        outcome = jax.device_get(program(data, *_chunk(flat, start, layout.chunk)))
        return {name: value[: grid.size - start] for name, value in outcome.items()}

    return train_chunk


def lower(train: Train, grid: Grid, data: PyTree, layout: Layout) -> jax.stages.Lowered:
    """The program of a chunk, before it is compiled: its text, its cost, its memory.

    Args:
        train: see :func:`run`.
        grid: see :func:`run`.
        data: see :func:`run`; its values do not enter the program.
        layout: see :func:`run`.

    Returns:
        JAX's lowered program.
    """
    example = _chunk(cells(grid), 0, layout.chunk)
    return jax.jit(_over_cells(train, layout)).lower(data, *example)


def _mesh(layout: Layout) -> Mesh:
    return jax.make_mesh(
        (layout.devices,),
        ("cells",),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[: layout.devices],
    )


def _over_cells(train: Train, layout: Layout) -> Callable[..., Outcome]:
    """``train`` over a leading axis of cells, spread over the devices."""

    def one(data: PyTree, hypers: Mapping[str, Array], seed: Array) -> Outcome:
        return train(data, hypers, jax.random.key(seed))

    def on_device(data: PyTree, hypers: PyTree, seeds: Array) -> Outcome:
        block = None if layout.block == 1 else layout.block
        return jax.lax.map(lambda x: one(data, *x), (hypers, seeds), batch_size=block)

    return jax.shard_map(
        on_device,
        mesh=_mesh(layout),
        in_specs=(P(), P("cells"), P("cells")),
        out_specs=P("cells"),
        check_vma=False,  # cells share nothing: there is no collective to check
    )


def _chunk(flat: Cells, start: int, size: int) -> tuple[dict[str, Array], Array]:
    """The cells from ``start``, padded with copies of the last one."""
    rows = np.minimum(np.arange(start, start + size), len(flat.seed) - 1)
    dtype = jnp.result_type(float)
    hypers = {name: jnp.asarray(v[rows], dtype) for name, v in flat.hypers.items()}
    return hypers, jnp.asarray(flat.seed[rows])


def _labelled(
    outcomes: list[dict[str, np.ndarray]], grid: Grid, record_steps: np.ndarray | None
) -> xr.Dataset:
    """Chunks of flat cells, as arrays over the grid's named axes."""
    variables: dict[str, Any] = {}
    for name in outcomes[0]:
        flat = np.concatenate([outcome[name] for outcome in outcomes])
        dims = (*grid.axes, "record")[: len(grid.shape) + flat.ndim - 1]
        variables[name] = (dims, flat.reshape(grid.shape + flat.shape[1:]))
    coords = dict(grid.axes)
    if record_steps is not None:
        coords["record"] = record_steps
    return xr.Dataset(variables, coords)


def _check_layout(layout: Layout) -> None:
    devices, block, chunk = layout
    if not 1 <= devices <= jax.device_count():
        raise ValueError(
            f"layout.devices is {devices}; this backend has {jax.device_count()}."
        )
    if block < 1 or chunk < 1 or chunk % devices:
        raise ValueError(
            f"layout.block is {block} and layout.chunk is {chunk}; both must be at "
            f"least 1, and chunk a multiple of the {devices} devices."
        )


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
