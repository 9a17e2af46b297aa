"""Files that are there whole or not at all, sealed with a digest, and locks.

A sealed file ends in a line with the SHA-256 of all that stands before it; readers of
netCDF and of zip archives pass over it, so other tools still open the file. In JSON the
digest is the last field. Either is checked before anything is parsed: a C library never
meets damaged bytes. A digest tells damage; whoever alters a file on purpose can seal it
again.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MARK = b"\nwdjax-sha256 "
SEAL_BYTES = len(MARK) + 64 + 1
FIELD = "digest"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # of some cluster's file systems


class AlteredError(ValueError):
    """A file's bytes are not those that were written."""


class InUseError(ValueError):
    """Another run holds what this one needs."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; its file takes the place of ``path`` when all is written.

    Args:
        path: what is there stays until then, also after a crash. Of two that write
            it at once, the later one's file is there in the end, whole.

    Yields:
        A path in the same folder, of a name that nobody else uses.
    """
    # Short, whatever the length of the name that it stands in for.
    partial = path.parent / f".{uuid.uuid4().hex}.partial"
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all.

    Args:
        path: an older file there is replaced.
        text: its content.
    """
    with whole(path) as partial:
        partial.write_bytes(text.encode())


def read_text(path: Path) -> str:
    """A text in UTF-8, as it is: no line end becomes another.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8.
    """
    return path.read_bytes().decode()


def seal(path: Path) -> None:
    """Append the digest of a file's content to it.

    Args:
        path: of a file that nobody reads yet.
    """
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(MARK + digest.encode() + b"\n")


def check_seal(file: io.BufferedIOBase) -> None:
    """Refuse a file whose content is not what was sealed; rewind it.

    Args:
        file: open for reading.

    Raises:
        AlteredError: there is no seal, or it is another content's.
    """
    left = file.seek(0, os.SEEK_END) - SEAL_BYTES
    digest = hashlib.sha256()
    file.seek(0)
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        digest.update(block)
        left -= len(block)
    found = file.read()
    file.seek(0)
    if not found.startswith(MARK):
        raise AlteredError("it has no digest: it was cut off, or is another file")
    if found != MARK + digest.hexdigest().encode() + b"\n":
        raise AlteredError("its bytes are not those that were written")


def sealed_json(content: Mapping[str, Any]) -> str:
    """JSON whose last field is the digest of the text without it.

    Args:
        content: what JSON can hold.
    """
    digest = hashlib.sha256(_json(content).encode()).hexdigest()
    return _json({**content, FIELD: digest})


def unsealed_json(text: str) -> dict[str, Any]:
    """What was sealed; every other text is refused, and be it a blank more.

    Args:
        text: from :func:`sealed_json`.

    Raises:
        AlteredError: it is not, or no longer.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"it is no JSON: {error}") from error
    if not isinstance(content, dict) or FIELD not in content:
        raise AlteredError(f"it has no {FIELD!r}: it is another file, or an older one")
    del content[FIELD]
    try:
        same = text == sealed_json(content)
    except RecursionError:
        same = False
    if not same:
        raise AlteredError("its text is not the one that was written")
    return content


def _json(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # A path that is no UTF-8 holds lone surrogates; \udcff is how JSON writes one.
    return text.encode("utf-8", "backslashreplace").decode()


def first_line(error: BaseException) -> str:
    """What an error says at first; its name where it says nothing."""
    return (str(error).splitlines() or [repr(error)])[0]


def reason(error: Exception, path: Path) -> str:
    """Why a file could not be written, in a few words.

    Args:
        error: what was raised. HDF5 says little of a full disk.
        path: of the file, for the room that its disk has left.
    """
    said = getattr(error, "strerror", None) or first_line(error)
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return said
    return f"{said}; its disk has {free / 1e9:.1f} GB left"


@contextlib.contextmanager
def held(path: Path, *, seconds: float = 0.0, what: str) -> Iterator[None]:
    """Hold a lock that the system drops when the process ends, however it ends.

    Args:
        path: of the lock's file, which stays.
        seconds: how long to wait for another holder.
        what: is in use then, for the message.

    Raises:
        InUseError: another run holds it.
    """
    from filelock import FileLock, Timeout

    # Not for one thread alone: another may be the one that lets go.
    lock = FileLock(path, timeout=seconds, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(
            f"{what} is in use by another run. Wait for its end, or choose another "
            "folder with --out."
        ) from None
    except NotImplementedError:  # the same as NO_LOCKS, in the words of some filelocks
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
