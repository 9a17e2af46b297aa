"""How the cells of a grid lie on devices, in blocks, in chunks."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int


class Layout(NamedTuple):
    """How cells lie on devices.

    Attributes:
        devices: over how many devices of a process the cells are spread.
        block: cells of one seed that a device trains at once (``vmap``); they share
            their minibatches. It takes its blocks one after the other.
        chunk: cells in flight: those that train at the same time, a segment each in
            turn. Rounded up to whole blocks on every device.
    """

    devices: int
    block: int
    chunk: int

    @property
    def rounds(self) -> int:
        """How many blocks a device has in flight."""
        return -(-self.chunk // (self.devices * self.block))


class Slots(NamedTuple):
    """The cells in their places; each block holds cells of one seed.

    Attributes:
        cell: the number of the cell in each slot.
        real: whether the slot is not just a copy that fills up a block or a chunk.
    """

    cell: Int[np.ndarray, "chunks slots blocks"]
    real: Bool[np.ndarray, "chunks slots blocks"]


def default_layout(cells: int) -> Layout:
    """One cell at a time on CPU devices, up to 64 at once on accelerators.

    On a CPU, a cell's weights and moments stay in the cache while it trains; vmapped
    cells push each other out (``scripts/bench engine``). On an accelerator more cells
    at once are faster: 64 of an MLP take 1.2 times as long a cell-step as 512, and a
    sixth of the memory (``scripts/bench accelerator``).

    Args:
        cells: the size of the grid.

    Returns:
        A layout over all of the process's devices.
    """
    devices = min(jax.local_device_count(), cells)
    if jax.default_backend() == "cpu":
        return Layout(devices, block=1, chunk=_up(min(8 * devices, cells), devices))
    block = min(64, -(-cells // devices))
    return Layout(devices, block, chunk=block * devices)


def slots(seeds: Int[np.ndarray, " cells"], layout: Layout) -> Slots:
    """Put every cell into a block of its seed, and blocks into chunks.

    Args:
        seeds: of each cell.
        layout: how many to a block, and blocks to a chunk.

    Returns:
        For each chunk, ``devices × rounds`` blocks. Copies fill what remains: of the
        last cell of a seed, and of the last block.
    """
    blocks, real = [], []
    for seed in dict.fromkeys(seeds.tolist()):
        mine = np.flatnonzero(seeds == seed)
        padded = np.arange(_up(len(mine), layout.block))
        blocks.append(mine[np.minimum(padded, len(mine) - 1)].reshape(-1, layout.block))
        real.append((padded < len(mine)).reshape(-1, layout.block))
    cell, known = np.concatenate(blocks), np.concatenate(real)
    width = layout.devices * layout.rounds
    padded = np.arange(_up(len(cell), width))
    rows = np.minimum(padded, len(cell) - 1)
    known = known[rows] & (padded < len(cell))[:, None]
    shape = (-1, width, layout.block)
    return Slots(cell[rows].reshape(shape), known.reshape(shape))


def check_layout(layout: Layout) -> None:
    """Refuse a layout that the process's devices cannot have.

    Raises:
        ValueError: it has too many devices, or a number below 1.
    """
    devices, block, chunk = layout
    if not 1 <= devices <= jax.local_device_count():
        raise ValueError(
            f"layout.devices is {devices}; this process has {jax.local_device_count()}."
        )
    if block < 1 or chunk < 1 or chunk % devices:
        raise ValueError(
            f"layout.block is {block} and layout.chunk is {chunk}; both must be at "
            f"least 1, and chunk a multiple of the {devices} devices."
        )


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
