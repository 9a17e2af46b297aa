"""A chunk in flight as an Orbax checkpoint: its arrays in one file.

Orbax's own handlers take several processes for the parts of one array, and let process
0 write for all. Here each process is on its own, so what is saved goes through a
handler that knows no other; steps, pruning, atomic renames and the thread that writes
stay Orbax's.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint import future

from wdjax.sweep import files
from wdjax.sweep.study import Flight

KEPT = 2
FILE = "arrays.npz"
ITEM = "flight"

Arrays = Mapping[str, np.ndarray]


class ArraysHandler(ocp.AsyncCheckpointHandler):
    """Writes named arrays of any dtype into one file, and reads them back."""

    async def async_save(self, directory: Any, args: "SaveArrays") -> list[Any]:
        """Begin to write; the arrays must not change until the future is done."""
        commit = future.CommitFutureAwaitingContractedSignals(
            self._write(Path(directory), args.arrays), name="arrays_save"
        )
        return [commit]

    def save(self, directory: Any, args: "SaveArrays") -> None:
        """Write, and wait for it."""
        write_arrays(Path(directory) / FILE, args.arrays)

    def restore(self, directory: Any, args: "RestoreArrays") -> Arrays:
        """What was saved; see :func:`read_arrays`."""
        del args
        return read_arrays(Path(directory) / FILE)

    async def _write(self, directory: Path, arrays: Arrays) -> None:
        write_arrays(directory / FILE, arrays)


@ocp.args.register_with_handler(ArraysHandler, for_save=True)
@dataclass
class SaveArrays(ocp.args.CheckpointArgs):
    """What to save."""

    arrays: Arrays


@ocp.args.register_with_handler(ArraysHandler, for_restore=True)
@dataclass
class RestoreArrays(ocp.args.CheckpointArgs):
    """Nothing needs to be known."""


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as bytes, with their forms, and seal the file.

    Nothing is pickled or compressed.
    """
    forms = {name: [list(a.shape), str(a.dtype)] for name, a in arrays.items()}
    note = np.frombuffer(json.dumps(forms).encode(), np.uint8)
    content: dict[str, Any] = {f"_{k}": as_bytes(a) for k, a in arrays.items()}
    with path.open("wb") as file:
        np.savez(file, forms=note, **content)
    files.seal(path)


def read_arrays(path: Path) -> Arrays:
    """Read what :func:`write_arrays` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its bytes are not those that were written, by its digest, or it is
            another file.
    """
    with path.open("rb") as file:
        files.check_seal(file)
        return parse_arrays(file)


def parse_arrays(file: io.BufferedIOBase) -> Arrays:
    """The arrays of a file whose seal was checked.

    Args:
        file: open for reading, at its beginning.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            forms = json.loads(content["forms"].tobytes())
            return {
                name: content[f"_{name}"].view(np.dtype(dtype)).reshape(shape)
                for name, (shape, dtype) in forms.items()
            }
    except Exception as error:  # numpy and zipfile raise anything at all
        raise ValueError(
            f"it holds no arrays of a chunk ({type(error).__name__}: {error})"
        ) from error


def as_bytes(array: np.ndarray) -> np.ndarray:
    """An array's bytes, in the order of its rows."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def fingerprint(data: PyTree) -> str:
    """A digest of the values, shapes and dtypes of a tree of arrays."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(data):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(as_bytes(array).data)
    return digest.hexdigest()


def manager(path: Path, process: int) -> ocp.CheckpointManager:
    """Orbax's manager of a folder, for one process alone.

    Args:
        path: of the folder, which is there.
        process: the number of this process.
    """
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process,
        active_processes={process},
        barrier_sync_key_prefix=f"process_{process}",
    )
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, create=False, multiprocessing_options=alone
    )
    return ocp.CheckpointManager(path, options=options)


def save(folder: ocp.CheckpointManager, flight: Flight) -> None:
    """Write a flight down: its states are copied now, the rest happens in a thread."""
    arrays = {
        f"state_{i:04}": np.array(_as_data(leaf))
        for i, leaf in enumerate(jax.tree.leaves(flight.states))
    }
    for name in flight.records[0]:
        points = [np.asarray(record[name]) for record in flight.records]
        arrays[f"record_{name}"] = np.stack(points)
    args = {ITEM: SaveArrays(arrays)}
    folder.save(flight.segment, args=ocp.args.Composite(**args))


def restore(folder: ocp.CheckpointManager, segment: int, like: Flight) -> Flight:
    """A flight from a checkpoint; its arrays are those that were saved, to the bit.

    Args:
        folder: from :func:`manager`.
        segment: at which it was saved.
        like: the chunk before its first step, for the form of its states.

    Raises:
        Exception: whatever a broken file leads to.
    """
    args = {ITEM: RestoreArrays()}
    arrays = folder.restore(segment, args=ocp.args.Composite(**args))[ITEM]
    states, structure = jax.tree.flatten(like.states)
    restored = [
        _as_leaf(arrays[f"state_{i:04}"], leaf) for i, leaf in enumerate(states)
    ]
    names = [name for name in arrays if name.startswith("record_")]
    records = [
        {name.removeprefix("record_"): arrays[name][i] for name in names}
        for i in range(segment)
    ]
    return Flight(like.number, segment, structure.unflatten(restored), records)


def _as_data(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_leaf(value: np.ndarray, like: jax.Array) -> jax.Array:
    """A saved array on the devices and in the form of another."""
    if _is_key(like):
        impl = str(jax.random.key_impl(like))
        keys = jax.random.wrap_key_data(jnp.asarray(value), impl=impl)
        return jax.device_put(keys, like.sharding)
    return jax.device_put(value, like.sharding)
