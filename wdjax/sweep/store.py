"""A study's folder: what it is, which chunks are finished, and those in flight.

===================  ======================================================
``study.json``       what the study is; another one is refused
``chunk_00003.npz``  the outcome of a finished chunk
``flight_00003/``    Orbax checkpoints of a chunk in flight, the newest two
===================  ======================================================

Whatever is written is there whole or not at all, and sealed with its digest. Each
process writes the chunks that it trains; any process reads all of them. A second run in
the same folder is refused for as long as the first one lives.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from wdjax.sweep import checkpoints, files
from wdjax.sweep.layout import Layout
from wdjax.sweep.study import Flight, Outcomes

Say = Callable[[str], None]


class StoreError(ValueError):
    """A study's folder cannot be used, or no longer."""


@dataclass
class Store:
    """A folder in which a study loses nothing.

    Attributes:
        folder: made by :func:`open_store`.
        every: seconds between two checkpoints of a chunk in flight.
        process: the number of this process.
        say: told what was found unreadable.
    """

    folder: Path
    every: float
    process: int
    say: Say
    _manager: ocp.CheckpointManager | None = None
    _flying: int = -1
    _kept_at: float = field(default_factory=time.monotonic)
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def hold(self) -> None:
        """Make the folder, and keep other runs out of it until :meth:`close`.

        Raises:
            StoreError: another run is in it, or it cannot be made.
        """
        lock = self.folder / f".lock_{self.process:05}"
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(files.held(lock, what=str(self.folder)))

    def finished(self, number: int) -> Outcomes | None:
        """The outcome of a chunk, if it is there and whole."""
        path = self._chunk_path(number)
        try:
            return checkpoints.read_arrays(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.say(f"{path.name} cannot be read ({error}); its cells train again")
            return None

    def finish(self, number: int, outcome: Outcomes) -> None:
        """Write the outcome of a chunk, and drop its checkpoints.

        Raises:
            StoreError: it cannot be written.
        """
        path = self._chunk_path(number)
        with _explained(self.folder):
            self._close()
            with files.whole(path) as partial:
                checkpoints.write_arrays(partial, outcome)
            shutil.rmtree(self._flight_path(number), ignore_errors=True)

    def restore(self, number: int, like: Flight) -> Flight | None:
        """The newest readable checkpoint of a chunk, or ``None`` if there is none.

        Args:
            number: of the chunk.
            like: the chunk before its first step, for the form of its states.
        """
        if not self._flight_path(number).is_dir():
            return None
        manager = self._manager_of(number)
        for segment in sorted(manager.all_steps(), reverse=True):
            try:
                return checkpoints.restore(manager, segment, like)
            except Exception as error:
                reason = files.first_line(error)
                self.say(
                    f"chunk {number}: the checkpoint of segment {segment} cannot be "
                    f"read ({reason[:80]}); falling back to the one before"
                )
                manager.delete(segment)
        return None

    def keep(self, flight: Flight, *, now: bool = False) -> None:
        """Write a chunk in flight down, if the last time is long enough ago.

        Its states are copied before this returns; the rest happens beside the
        training.

        Args:
            flight: with its states.
            now: however long ago.

        Raises:
            StoreError: an earlier one could not be written, or this one.
        """
        if not now and time.monotonic() - self._kept_at < self.every:
            return
        with _explained(self.folder), self._patient():
            manager = self._manager_of(flight.number)
            checkpoints.save(manager, flight)
        self._kept_at = time.monotonic()

    def close(self) -> None:
        """Wait for what is being written, and leave the folder to others.

        Raises:
            StoreError: it could not be.
        """
        with self._held, _explained(self.folder):
            self._close()

    def __enter__(self) -> "Store":
        """The store, to be closed in the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def _close(self) -> None:
        manager, self._manager, self._flying = self._manager, None, -1
        if manager is not None:
            with self._patient():
                manager.close()  # which waits

    @contextlib.contextmanager
    def _patient(self) -> Iterator[None]:
        """Do without a checkpoint that Orbax calls late, and with a new manager.

        It asks the clock that people set: when that jumps, everything is late.
        """
        try:
            yield
        except TimeoutError as error:
            self.say(f"a checkpoint was not written in time ({error}); going on")
            self._manager, self._flying = None, -1

    def _manager_of(self, number: int) -> ocp.CheckpointManager:
        if self._manager is None or self._flying != number:
            self._close()
            path = self._flight_path(number)
            path.mkdir(exist_ok=True)
            self._manager = checkpoints.manager(path, self.process)
            self._flying = number
        return self._manager

    def _chunk_path(self, number: int) -> Path:
        return self.folder / f"chunk_{number:05}.npz"

    def _flight_path(self, number: int) -> Path:
        return self.folder / f"flight_{number:05}"


def open_store(
    folder: str | Path,
    identity: Mapping[str, Any],
    *,
    resume: bool,
    every: float,
    process: int = 0,
    say: Say = lambda text: None,
) -> Store:
    """Open a study's folder, or make it.

    Args:
        folder: of this study alone.
        identity: what the study is, as JSON can hold it.
        resume: go on with what is there.
        every: seconds between two checkpoints of a chunk in flight.
        process: the number of this process; 0 makes the folder, others wait for it.
        say: told what was found unreadable.

    Raises:
        StoreError: the folder holds another study, with what differs; or this one,
            and ``resume`` is not set; or it cannot be written; or another run is
            using it.
    """
    folder = Path(folder).absolute()
    path = folder / "study.json"
    # As it will be read back.
    identity = json.loads(json.dumps(identity, default=str, sort_keys=True))
    if process:
        _wait_for(path)
    store = Store(folder, every, process, say)
    store.hold()
    try:
        _claim(path, identity, resume=resume or process > 0)
    except BaseException:
        store.close()
        raise
    return store


def _claim(path: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
    """Write down what the study is, or compare it with what is there."""
    folder = path.parent
    if path.exists():
        _refuse_another(path, identity)
        if not resume:
            raise StoreError(
                f"{folder} holds an unfinished run of this study; give --resume "
                "(resume=True) to go on with it, or remove the folder."
            )
    else:
        with _explained(folder):
            files.write_text(path, files.sealed_json(identity))


def stored_layout(folder: str | Path, *, process: int = 0) -> Layout | None:
    """The layout of the study that a folder holds, if it holds one.

    Args:
        folder: as for :func:`open_store`.
        process: the number of this process; all but 0 wait for the folder.
    """
    path = Path(folder) / "study.json"
    if process:
        _wait_for(path)
    try:
        content = files.unsealed_json(files.read_text(path))
        layout = Layout(**content["layout"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return layout if all(type(n) is int and n > 0 for n in layout) else None


def _refuse_another(path: Path, identity: Mapping[str, Any]) -> None:
    """Say in which settings a folder's study differs from the one that is asked."""
    try:
        theirs = files.unsealed_json(files.read_text(path))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); remove the folder to start anew."
        ) from None
    ours, theirs = _flattened(identity), _flattened(theirs)
    names = sorted(n for n in ours | theirs if ours.get(n) != theirs.get(n))
    if names:
        shown = "; ".join(
            f"{n} was {_brief(theirs.get(n))}, is {_brief(ours.get(n))}" for n in names
        )
        raise StoreError(
            f"{path.parent} holds another study: {shown}. Choose another folder with "
            "--out, or remove this one."
        )


def _flattened(tree: Any, path: str = "") -> dict[str, Any]:
    """The leaves of nested dictionaries, by their dotted names."""
    if not isinstance(tree, Mapping):
        return {path: tree}
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= _flattened(value, f"{path}.{name}" if path else name)
    return leaves


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _wait_for(path: Path, seconds: float = 600.0) -> None:
    """Until another process has made a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise StoreError(
                f"{path} has not appeared in {seconds:.0f} s. All processes need one "
                "shared folder; is this one shared?"
            )
        time.sleep(0.05)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn whatever goes wrong in writing into a sentence."""
    try:
        yield
    except files.InUseError as error:
        raise StoreError(str(error)) from error
    except Exception as error:
        raise StoreError(
            f"{folder} cannot be written ({files.reason(error, folder)}). What was "
            "finished is kept: make room, and go on with --resume."
        ) from error
