"""Mutated files, read one after another in a process of its own.

Arguments: the reader, how many files, the seed. Prints counts as JSON: how many were
read, passed the header, and loaded; ends with a traceback at the first error that is
not the documented one.
"""

import contextlib
import faulthandler
import gzip
import io
import json
import pickle
import resource
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.weather.mutations import BINARY, TEXT, mutated
from wdjax.data import DataError

SECONDS = 20
MEMORY = 6 << 30
FIXTURE = Path(__file__).parents[1] / "data" / "fixtures" / "cifar10_py2_pickle_batch"


class Reader(NamedTuple):
    """What reads outside bytes.

    Attributes:
        valid: whole files.
        header: the length of what is left alone, most of the time.
        passes: whether a file passes the header: what a reader looks at first.
        read: raises ``error``, and nothing else, or checks what it read.
        error: the documented one.
        finish: what is done to a mutated file before it is read, half of the time.
        kinds: of mutations.
        digest: whether an altered file must never load, unless it was finished.
    """

    valid: list[bytes]
    header: int
    passes: Callable[[bytes], bool]
    read: Callable[[bytes], Any]
    error: type[Exception]
    finish: Callable[[bytes], bytes] = bytes
    kinds: tuple = BINARY
    digest: bool = False


def begins(*starts: bytes) -> Callable[[bytes], bool]:
    """Whether a file begins in one of these ways."""
    return lambda payload: payload.startswith(starts)


def is_json(payload: bytes) -> bool:
    """Whether a file is JSON, whatever it says."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def check_split(split: Any, classes: int) -> None:
    """What was loaded is images and labels."""
    n = len(split.labels)
    assert split.images.shape == (n, 32, 32, 3)
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == np.int32
    assert ((split.labels >= 0) & (split.labels < classes)).all()


def cifar_binary(folder: Path) -> Reader:
    """Records of one label and 3,072 pixels."""
    from wdjax.data.cifar_parsing import parse_binary
    from wdjax.data.reading import check_whole_records

    def read(payload: bytes) -> None:
        check_whole_records(payload, 3073, "here")
        check_split(parse_binary(payload, "here", num_classes=10, label_bytes=1), 10)

    rng = np.random.default_rng(0)
    records = rng.integers(256, size=(4, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    return Reader([records.tobytes()], 0, lambda p: len(p) % 3073 == 0, read, DataError)


def cifar_pickle(folder: Path) -> Reader:
    """Of Python 2, and of Python 3."""
    from wdjax.data.cifar_parsing import parse_python

    def read(payload: bytes) -> None:
        split = parse_python(payload, "here", num_classes=10, label_key=b"labels")
        check_split(split, 10)

    pixels = np.random.default_rng(0).integers(256, size=(2, 3072), dtype=np.uint8)
    content = {b"data": pixels, b"labels": [3, 7], b"batch_label": b"1 of 1"}
    new = pickle.dumps(content, protocol=3)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    valid = [FIXTURE.read_bytes(), old]
    return Reader(valid, 2, begins(b"\x80"), read, DataError)


def idx(folder: Path) -> Reader:
    """Images, and labels."""
    from wdjax.data.idx import parse_idx

    def read(payload: bytes) -> None:
        array = parse_idx(payload, "here")
        assert array.dtype == np.uint8
        assert array.size == len(payload) - 4 - 4 * array.ndim

    images = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 7]) + bytes(range(245))
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 9, *range(9)])
    return Reader([images, labels], 4, begins(b"\0\0\x08"), read, DataError)


def idx_compressed(folder: Path) -> Reader:
    """The same, in gzip, from a file."""
    from wdjax.data.idx import parse_idx, read_payload

    path = folder / "images.gz"

    def read(payload: bytes) -> None:
        path.write_bytes(payload)
        parse_idx(read_payload(path), "here")

    valid = [gzip.compress(payload) for payload in idx(folder).valid]
    return Reader(valid, 3, begins(b"\x1f\x8b\x08"), read, DataError)


def archive(folder: Path) -> Reader:
    """A tar file, and one in gzip."""
    from wdjax.data.members import members_of_archive

    names, path = ["data_batch_1.bin", "test_batch.bin"], folder / "archive"

    def read(payload: bytes) -> None:
        path.write_bytes(payload)
        for member in members_of_archive(path, "cifar", names):
            assert member.name in names

    written = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name in ("cifar/é" + "long" * 40, *(f"cifar/{n}" for n in names)):
                info = tarfile.TarInfo(name)
                info.size = 700
                tar.addfile(info, io.BytesIO(bytes(700)))
        written += [file.getvalue(), gzip.compress(file.getvalue())]
    return Reader(written, 3, begins(b"\x1f\x8b\x08", b"././@"), read, DataError)


def sealed(content: bytes) -> bytes:
    """With the digest of what it is now, as nobody's accident would leave it."""
    import hashlib

    from wdjax.sweep import files

    content = content[: -files.SEAL_BYTES]
    digest = hashlib.sha256(content).hexdigest().encode()
    return content + files.MARK + digest + b"\n"


def some_arrays() -> dict[str, np.ndarray]:
    """Of several dtypes and shapes."""
    return {
        "loss": np.arange(6.0).reshape(2, 3),
        "step": np.arange(4, dtype=np.int32),
        "flag": np.array(True),
        "none": np.zeros((0, 2), np.float32),
    }


def check_arrays(found: Any) -> None:
    """What was loaded is named arrays."""
    assert all(isinstance(n, str) for n in found)
    assert all(isinstance(a, np.ndarray) and a.dtype != object for a in found.values())


def chunk(folder: Path) -> Reader:
    """Arrays of a finished chunk, in an npz file; half of them sealed again."""
    from wdjax.sweep import checkpoints, files

    def read(payload: bytes) -> None:
        file = io.BytesIO(payload)
        files.check_seal(file)
        check_arrays(checkpoints.parse_arrays(file))

    checkpoints.write_arrays(folder / "chunk.npz", some_arrays())
    valid = [(folder / "chunk.npz").read_bytes()]
    return Reader(valid, 4, begins(b"PK\3\4"), read, ValueError, sealed, digest=True)


def checkpoint(folder: Path) -> Reader:
    """Arrays of a chunk in flight, by the handler that Orbax calls."""
    from wdjax.sweep import checkpoints

    handler = checkpoints.ArraysHandler()

    def read(payload: bytes) -> None:
        (folder / checkpoints.FILE).write_bytes(payload)
        check_arrays(handler.restore(folder, checkpoints.RestoreArrays()))

    handler.save(folder, checkpoints.SaveArrays(some_arrays()))
    valid = [(folder / checkpoints.FILE).read_bytes()]
    return Reader(valid, 4, begins(b"PK\3\4"), read, ValueError, sealed, digest=True)


def netcdf(folder: Path) -> Reader:
    """A result; half of them sealed again, so that HDF5 meets what its digest hides."""
    import xarray as xr

    from wdjax import sweep

    path = folder / "result.nc"

    def read(payload: bytes) -> None:
        path.write_bytes(payload)
        sweep.load(path)

    sweep.save(xr.Dataset({"loss": ("decay", np.arange(5.0))}), path)
    valid = [path.read_bytes()]
    return Reader(valid, 8, begins(b"\x89HDF"), read, ValueError, sealed, digest=True)


def resealed_json(text: bytes) -> bytes:
    """The same with its own digest, if it is JSON."""
    from wdjax.sweep import files

    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(text)
        content.pop(files.FIELD, None)
        return files.sealed_json(content).encode()
    return text


def report(folder: Path) -> Reader:
    """A report, from its file; half of those that are still JSON sealed again."""
    from experiments.harness.reports import Report, load_report

    path = folder / "report.json"

    def read(payload: bytes) -> None:
        path.write_bytes(payload)
        assert isinstance(load_report(path), Report)

    outcomes = Path(__file__).parents[2] / "experiments" / "outcomes"
    valid = [(outcomes / "bf16_no_op.json").read_bytes()]
    return Reader(valid, 1, is_json, read, ValueError, resealed_json, TEXT, True)


def study(folder: Path) -> Reader:
    """What a study is; half of those that are still JSON sealed again."""
    from wdjax.sweep import store

    path = folder / "study.json"
    identity = {
        "configuration": {"model": "mlp", "steps": 100},
        "grid": {"decay": [0.0, 0.1], "seed": [0, 1]},
        "layout": {"devices": 2, "block": 1, "chunk": 4},
    }

    def read(payload: bytes) -> None:
        path.write_bytes(payload)
        layout = store.stored_layout(folder)
        assert layout is None or all(type(n) is int and n > 0 for n in layout)
        store._refuse_another(path, identity)

    store.open_store(folder, identity, resume=False, every=1.0).close()
    valid, error = [path.read_bytes()], store.StoreError
    return Reader(valid, 1, is_json, read, error, resealed_json, TEXT, True)


READERS = {
    made.__name__: made
    for made in (
        cifar_binary,
        cifar_pickle,
        idx,
        idx_compressed,
        archive,
        chunk,
        checkpoint,
        netcdf,
        report,
        study,
    )
}


def fuzz(name: str, count: int, seed: int) -> dict[str, int]:
    """Read mutated files.

    Args:
        name: of the reader.
        count: how many files.
        seed: of the mutations.

    Returns:
        How many were read, passed the header, and loaded.
    """
    headers = loaded = 0
    with tempfile.TemporaryDirectory(dir=memory_disk()) as folder:
        reader = READERS[name](Path(folder))
        for whole in reader.valid:
            reader.read(whole)
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            whole = reader.valid[number % len(reader.valid)]
            altered = whole
            while altered == whole:
                start = reader.header if rng.integers(4) else 0
                altered = mutated(rng, whole, start, reader.kinds)
            finished = reader.finish(altered) if rng.integers(2) else altered
            headers += reader.passes(finished)
            try:
                came_back = reads(reader, finished)
                assert not (came_back and reader.digest and finished == altered)
            except BaseException:
                print(f"{name}, input {number} of seed {seed}", file=sys.stderr)
                raise
            loaded += came_back
    return {"read": count, "headers": headers, "loaded": loaded}


def reads(reader: Reader, payload: bytes) -> bool:
    """Whether a file loads; an error that is not the documented one passes through."""
    signal.alarm(SECONDS)
    try:
        reader.read(payload)
    except reader.error:
        return False
    finally:
        signal.alarm(0)
    return True


def memory_disk() -> Path | None:
    """Where files cost no disk, if there is such a place."""
    place = Path("/dev/shm")
    return place if place.is_dir() else None


def main(name: str, count: str, seed: str) -> None:
    """Fuzz with little memory and time, and print the counts."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    print(json.dumps(fuzz(name, int(count), int(seed))))


if __name__ == "__main__":
    main(*sys.argv[1:])
