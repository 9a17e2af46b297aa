"""Choosing a layout within the memory there is, by its size or by a measurement."""

import math
import os
import time
from collections.abc import Callable, Iterable

import jax
import numpy as np

from wdjax.sweep import memory
from wdjax.sweep.cells import Plan, cells
from wdjax.sweep.layout import Layout, default_layout
from wdjax.sweep.study import Study
from wdjax.sweep.training import Training

STEPS = 5
REPEATS = 3
SHARE = 0.9  # of a device's memory
LARGEST = 512  # cells at once, beyond which nothing is gained

Prepare = Callable[[Training, Layout], Study]


def measured_layout(
    training: Training,
    grid: Plan,
    prepare: Prepare,
    *,
    candidates: Iterable[Layout] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Layout:
    """The fastest of some layouts, each timed for a few steps of its first chunk.

    Args:
        training: one whose segments can be shortened; any other has the default.
        grid: of cells.
        prepare: compiles a training for a layout.
        candidates: the layouts to try; see :func:`layouts_to_try`.
        say: told each layout's time.

    Returns:
        The layout with the least time for a step of a cell.

    Raises:
        ValueError: none of the candidates fits into the memory.
    """
    if training.shortened is None:
        return default_layout(grid.size)
    short = training.shortened(STEPS)
    times: dict[Layout, float] = {}
    for layout in layouts_to_try(grid) if candidates is None else candidates:
        study = prepare(short, layout)
        needs = bytes_per_device(study)
        if needs > SHARE * device_memory():
            say(f"{_shown(layout)}: {needs / 1e9:.2f} GB a device do not fit")
            continue
        times[layout] = seconds_per_cell_step(study)
        say(f"{_shown(layout)}: {1e3 * times[layout]:.3f} ms a cell-step")
    if not times:
        raise ValueError(_nothing_fits())
    return min(times, key=lambda layout: times[layout])


def largest_study(
    training: Training,
    grid: Plan,
    prepare: Prepare,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> Study:
    """The study with the most cells at once, up to 512 of a seed, that fit.

    On an accelerator more cells at once are faster (``scripts/bench accelerator``), so
    nothing needs to be timed.

    Args:
        training: see :func:`measured_layout`.
        grid: of cells.
        prepare: compiles a training for a layout.
        say: told what did not fit.

    Returns:
        The compiled study.

    Raises:
        ValueError: not even one cell at a time fits into the memory.
    """
    devices = min(jax.local_device_count(), grid.size)
    for block in blocks_to_fit(_largest_seed(grid)):
        layout = Layout(devices, block, devices * block)
        try:
            study = prepare(training, layout)
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            say(f"{_shown(layout)}: do not fit")
            continue
        needs = bytes_per_device(study)
        if needs <= SHARE * device_memory():
            return study
        say(f"{_shown(layout)}: {needs / 1e9:.2f} GB a device do not fit")
    raise ValueError(_nothing_fits())


def blocks_to_fit(cells: int) -> list[int]:
    """Even blocks of a seed's cells, from the largest to 1, each half as large."""
    pieces = -(-cells // LARGEST)
    blocks = [-(-cells // pieces)]
    while blocks[-1] > 1:
        blocks.append(-(-blocks[-1] // 2))
    return blocks


def layouts_to_try(grid: Plan) -> list[Layout]:
    """Blocks of 1, 8, 64 and 512 cells of a seed, on all devices, and on one.

    A CPU's cores can also share each cell (one device) instead of having one each.
    """
    largest = _largest_seed(grid)
    everything = min(jax.local_device_count(), grid.size)
    devices = {everything, 1} if jax.default_backend() == "cpu" else {everything}
    blocks = sorted({min(b, largest) for b in (1, 8, 64, LARGEST)})
    return [
        Layout(d, b, d * b * (math.ceil(8 / b) if b < 8 else 1))
        for d in sorted(devices, reverse=True)
        for b in blocks
    ]


def seconds_per_cell_step(study: Study) -> float:
    """The least time of a segment, over its steps and the chunk's cells, copies too."""
    flight = study.advance(study.begin(0))  # warm
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        flight = study.advance(flight._replace(segment=0, records=[]))
        times.append(time.perf_counter() - started)
    return min(times) / (study.slots.cell[0].size * study.training.steps)


def bytes_per_device(study: Study) -> int:
    """What the largest of a study's programs needs, data and states included."""
    return max(_bytes(program) for program in study.programs)


def device_memory() -> int:
    """The bytes of one device; a CPU's devices share the machine's."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is not None:
        return limit
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(program: jax.stages.Compiled) -> int:
    stats = program.memory_analysis()
    if stats is None:
        return 0
    total = stats.argument_size_in_bytes + stats.output_size_in_bytes
    return total + stats.temp_size_in_bytes - stats.alias_size_in_bytes


def _largest_seed(grid: Plan) -> int:
    """The most cells that one seed has."""
    return int(np.unique(cells(grid).seed, return_counts=True)[1].max())


def _nothing_fits() -> str:
    return (
        f"No layout fits into the {device_memory() / 1e9:.1f} GB of a device; give "
        "a smaller batch or network, or a layout of your own."
    )


def _shown(layout: Layout) -> str:
    return (
        f"{layout.devices} devices, blocks of {layout.block}, chunks of {layout.chunk}"
    )
