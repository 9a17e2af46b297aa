"""Find a set's named files in a folder, its usual sub-folder, or its archive.

Nothing is ever extracted: wanted members are read into memory, one after another,
and whatever else an archive holds, under whatever path, is passed over.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wdjax.data.reading import read_file
from wdjax.data.types import DataError

# The largest published member has 155 MB and the largest archive 186 MB, unpacked; one
# of a few bytes can announce, or unpack to, any size.
MAX_MEMBER_BYTES = 200_000_000
MAX_ARCHIVE_BYTES = 400_000_000

OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
"""How a compressed archive begins, and what opens it."""


# A damaged archive can raise any of these; a ValueError or an OverflowError comes of a
# damaged number in a header.
DAMAGE = (
    tarfile.TarError,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)


class Member(NamedTuple):
    """One file's name within its set, where it was read, and its content."""

    name: str
    where: str
    payload: bytes


def members_of_folder(folder: Path, names: Collection[str]) -> Iterator[Member]:
    """Those of the named files which the folder holds."""
    for name in names:
        path = folder / name
        if os.path.isfile(path):
            yield Member(name, str(path), read_file(path))


def members_of_archive(
    archive: Path, subfolder: str, names: Collection[str]
) -> Iterator[Member]:
    """Those of the named files which the archive holds, at its top or in ``subfolder``.

    Raises:
        DataError: if the archive is truncated or damaged, or it or a member is too
            large.
    """
    # Exact paths: `../data_batch_1.bin` is another file, and no concern of ours.
    wanted = {
        prefix + name: name
        for name in names
        for prefix in ("", "./", f"{subfolder}/", f"./{subfolder}/")
    }
    missing = set(names)
    try:
        with _Bounded(archive) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for info in tar:
                name = wanted.get(info.name)
                if name not in missing or not info.isfile():
                    continue
                if info.size > MAX_MEMBER_BYTES:
                    raise DataError(
                        f"{archive}: the member {info.name} announces {info.size:,} "
                        f"bytes, more than the {MAX_MEMBER_BYTES:,} any published one "
                        "needs. Fetch the archive again."
                    )
                member = tar.extractfile(info)
                assert member is not None  # a regular file, as checked above
                yield Member(name, f"{archive}: {info.name}", member.read())
                missing.discard(name)
                if not missing:
                    return
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{archive} cannot be read as an archive ({error}): it was truncated or "
            "damaged. Fetch it again."
        ) from error


class _Bounded:
    """An archive's bytes, decompressed, one after another, and not without end.

    A bomb is met before it is in memory: in a member that nobody asked for, or in a
    header, which is read whole.
    """

    def __init__(self, archive: Path):
        with archive.open("rb") as file:
            start = file.read(6)
        opener = next((o for magic, o in OPENERS if start.startswith(magic)), open)
        self.archive, self.left = archive, MAX_ARCHIVE_BYTES
        self.file: Any = opener(archive, "rb")

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        content = self.file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise DataError(
                f"{self.archive} unpacks to more than {MAX_ARCHIVE_BYTES:,} bytes, and "
                "no published archive does. Fetch it again."
            )
        return content

    def __enter__(self) -> Any:  # `tarfile` asks a stream for `read` alone
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def find_members(
    place: Path, subfolder: str, archive: str, names: Collection[str]
) -> Iterator[Member]:
    """Look for the named files wherever a user may have put them.

    Args:
        place: a folder that holds the files, or ``subfolder``, or ``archive``; or an
            archive.
        subfolder: the folder inside the published archive.
        archive: the published archive's file name.
        names: of the files.

    Yields:
        The files found, from the first place that has any.
    """
    if os.path.isfile(place):  # Path.is_file() raises where a name is too long
        yield from members_of_archive(place, subfolder, names)
        return
    for folder in (place, place / subfolder):
        if any(os.path.isfile(folder / name) for name in names):
            yield from members_of_folder(folder, names)
            return
    if os.path.isfile(place / archive):
        yield from members_of_archive(place / archive, subfolder, names)
