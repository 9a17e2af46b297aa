"""A grid to be trained chunk by chunk and segment by segment."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wdjax.sweep.cells import Cells
from wdjax.sweep.layout import Layout, Slots
from wdjax.sweep.programs import Chunk, Programs, chunk_of
from wdjax.sweep.training import Training

Records = list[dict[str, np.ndarray]]
Outcomes = Mapping[str, np.ndarray]


class Flight(NamedTuple):
    """The cells of a chunk between two segments.

    Attributes:
        number: of the chunk.
        segment: the next one.
        states: of the training, a leading axis of blocks, then of cells.
        records: what each segment recorded, in the same order.
    """

    number: int
    segment: int
    states: PyTree
    records: Records

    def is_spent(self) -> bool:
        """Whether the states were given up to a segment that has not ended."""
        return any(leaf.is_deleted() for leaf in jax.tree.leaves(self.states))


@dataclass(frozen=True)
class Study:
    """Programs, the data on the devices, and which cell sits where.

    Attributes:
        training: what every cell does.
        programs: it over a chunk, lowered or compiled.
        data: on the devices.
        flat: the cells.
        slots: their places.
        layout: of every chunk.
    """

    training: Training
    programs: Programs
    data: PyTree
    flat: Cells
    slots: Slots
    layout: Layout

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self.slots.cell)

    def compiled(self) -> "Study":
        """The study with its programs ready to be called; they compile side by side."""
        with ThreadPoolExecutor(len(self.programs)) as pool:
            ready = pool.map(lambda program: program.compile(), self.programs)
            return replace(self, programs=Programs(*ready))

    def begin(self, number: int) -> Flight:
        """The cells of a chunk before their first step."""
        states = self.programs.begin(self.data, self._chunk(number))
        return Flight(number, 0, states, [])

    def advance(self, flight: Flight) -> Flight:
        """One segment further; the states that come in are given up."""
        segment = jnp.asarray(flight.segment, jnp.int32)
        states, record = self.programs.advance(
            self.data, self._chunk(flight.number), flight.states, segment
        )
        records = [*flight.records, jax.device_get(record)]
        return flight._replace(
            segment=flight.segment + 1, states=states, records=records
        )

    def finish(self, flight: Flight) -> Outcomes:
        """The outcome of each cell of a chunk, in the order of :meth:`cells`."""
        finals = jax.device_get(
            self.programs.finish(self.data, self._chunk(flight.number), flight.states)
        )
        curves = jax.tree.map(lambda *points: np.stack(points, 2), *flight.records)
        real = self.slots.real[flight.number].ravel()
        return {
            name: value.reshape(-1, *value.shape[2:])[real]
            for name, value in (curves | finals).items()
        }

    def cells(self, number: int) -> np.ndarray:
        """The numbers of the cells of a chunk, copies left out."""
        return self.slots.cell[number][self.slots.real[number]]

    def _chunk(self, number: int) -> Chunk:
        cell = self.slots.cell[number]
        return chunk_of(self.flat.hypers, self.flat.seed, cell, self.layout)
