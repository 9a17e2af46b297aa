"""Find a set's named files in a folder, its usual sub-folder, or its archive.

Nothing is ever extracted: wanted members are read into memory, one after another,
and whatever else an archive holds, under whatever path, is passed over.
"""

import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from wdjax.data.types import DataError

# The largest published member has 155 MB; an archive can announce any size.
MAX_MEMBER_BYTES = 200_000_000


class Member(NamedTuple):
    """One file's name within its set, where it was read, and its content."""

    name: str
    where: str
    payload: bytes


def members_of_folder(folder: Path, names: Collection[str]) -> Iterator[Member]:
    """Those of the named files which the folder holds."""
    for name in names:
        path = folder / name
        if path.is_file():
            yield Member(name, str(path), path.read_bytes())


def members_of_archive(
    archive: Path, subfolder: str, names: Collection[str]
) -> Iterator[Member]:
    """Those of the named files which the archive holds, at its top or in ``subfolder``.

    Raises:
        DataError: if the archive is truncated or damaged, or a member is too large.
    """
    # Exact paths: `../data_batch_1.bin` is another file, and no concern of ours.
    wanted = {
        prefix + name: name
        for name in names
        for prefix in ("", "./", f"{subfolder}/", f"./{subfolder}/")
    }
    missing = set(names)
    try:
        with tarfile.open(archive) as tar:
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
                file = tar.extractfile(info)
                assert file is not None  # a regular file, as checked above
                yield Member(name, f"{archive}: {info.name}", file.read())
                missing.discard(name)
                if not missing:
                    return
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{archive} cannot be read as an archive ({error}): it was truncated or "
            "damaged. Fetch it again."
        ) from error


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
    if place.is_file():
        yield from members_of_archive(place, subfolder, names)
        return
    for folder in (place, place / subfolder):
        if any((folder / name).is_file() for name in names):
            yield from members_of_folder(folder, names)
            return
    if (place / archive).is_file():
        yield from members_of_archive(place / archive, subfolder, names)
