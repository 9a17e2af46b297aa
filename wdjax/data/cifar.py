"""CIFAR-10 and CIFAR-100, from the user's own copy: binary or Python version.

The published test set is the test set; the last tenth of the published training
set, in file order, is the validation set. wdjax neither ships nor downloads CIFAR.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from wdjax.data.cifar_tables import CifarSet, Version
from wdjax.data.members import find_members
from wdjax.data.reading import (
    UNVERIFIED_REMEDY,
    check_digest,
    check_whole_records,
    concatenate,
    hold_out_last_tenth,
)
from wdjax.data.types import DataError, Dataset, Split

CITATION = (
    "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images, "
    "technical report, University of Toronto."
)
LICENCE = "none stated by its authors; wdjax does not redistribute it"


def how_to_get(cifar: CifarSet) -> str:
    """The sentence that says where the files are to be had."""
    archives = " or ".join(version.archive for version in cifar.versions)
    return (
        f"wdjax does not download {cifar.name}: fetch {archives} from "
        "https://www.cs.toronto.edu/~kriz/cifar.html and give, as `folder`, the "
        "archive, the folder that holds it, or the folder it was unpacked to."
    )


def read_members(
    cifar: CifarSet, version: Version, place: Path, *, allow_unverified: bool
) -> Iterator[tuple[str, Split]]:
    """Read, check and parse every file of this version that is there."""
    checksums = {**version.train, **version.test}
    for name, where, payload in find_members(
        place, version.subfolder, version.archive, list(checksums)
    ):
        check_whole_records(payload, version.record_bytes, where)
        if not allow_unverified:
            check_digest(payload, "md5", checksums[name], where)
        yield name, version.parse(payload, where, num_classes=len(cifar.classes))


def refuse_missing(
    cifar: CifarSet, version: Version, found: set[str], *, allow_unverified: bool
) -> None:
    """Refuse a copy that lacks files; unverified, some training and the test do."""
    missing = [n for n in (*version.train, *version.test) if n not in found]
    usable = not found.isdisjoint(version.train) and found.issuperset(version.test)
    if missing and not (allow_unverified and usable):
        remedy = UNVERIFIED_REMEDY if usable else how_to_get(cifar)
        raise DataError(
            f"{cifar.name} is incomplete: found {', '.join(sorted(found))} but not "
            f"{', '.join(missing)}. {remedy}"
        )


def check_first_labels(cifar: CifarSet, train: Split) -> None:
    """Compare the first training labels with the published ones."""
    expected = list(cifar.first_labels)
    actual = train.labels[: len(expected)].tolist()
    if actual != expected:
        raise DataError(
            f"{cifar.name}: the training labels begin {actual} and should begin "
            f"{expected}, although every checksum is right: wdjax misread the files. "
            "Please report it."
        )


def not_found(cifar: CifarSet, place: Path) -> DataError:
    """The error for a place where no file of the set was found."""
    if not os.path.exists(place):
        return DataError(
            f"{cifar.name} was not found: {place} does not exist. {how_to_get(cifar)}"
        )
    looked_for = "; ".join(
        f"{', '.join((*v.train, *v.test))} (there, in {v.subfolder}/ or in {v.archive})"
        for v in cifar.versions
    )
    return DataError(
        f"{cifar.name} was not found in {place}. Looked for: {looked_for}. "
        f"{how_to_get(cifar)}"
    )


def load_cifar(
    cifar: CifarSet, folder: Path | None = None, *, allow_unverified: bool = False
) -> Dataset:
    """Load CIFAR-10 or CIFAR-100.

    Args:
        cifar: which of the two, and what was published as such.
        folder: holds the files, their usual sub-folder or the archive; or is the
            archive.
        allow_unverified: skip the checksums, put up with missing training files, and
            stamp the result as unverified.

    Returns:
        Channels last; the binary version where both are there.

    Raises:
        DataError: if a file is missing, damaged, altered or unsafe to read.
    """
    if folder is None:
        raise DataError(f"{cifar.name} needs a folder. {how_to_get(cifar)}")
    for version in cifar.versions:
        splits = dict(
            read_members(cifar, version, folder, allow_unverified=allow_unverified)
        )
        if splits:
            break
    else:
        raise not_found(cifar, folder)
    refuse_missing(cifar, version, set(splits), allow_unverified=allow_unverified)
    # In the published order, whatever the archive's.
    train = concatenate([splits[name] for name in version.train if name in splits])
    if not allow_unverified:
        check_first_labels(cifar, train)
    train, validation = hold_out_last_tenth(train)
    return Dataset(
        name=cifar.name,
        citation=CITATION,
        licence=LICENCE,
        classes=cifar.classes,
        train=train,
        validation=validation,
        test=concatenate([splits[name] for name in version.test]),
        verified=not allow_unverified,
    )
