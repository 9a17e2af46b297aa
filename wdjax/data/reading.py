"""What all readers of published files share: digests, label ranges, the hold-out."""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from wdjax.data.types import DataError, Split

UNVERIFIED_REMEDY = (
    "To use the files as they are, stamped as unverified: `--allow-unverified` on "
    "the command line, `allow_unverified=True` in Python."
)


def read_file(path: Path) -> bytes:
    """A file's content.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Make it readable, or name "
            "another folder."
        ) from error


def check_digest(payload: bytes, algorithm: str, expected: str, where: str) -> None:
    """Refuse a file whose content is not the published one.

    Args:
        payload: the content, decompressed.
        algorithm: as :func:`hashlib.new` calls it.
        expected: the published digest, in hexadecimal.
        where: which file this is, for the message.

    Raises:
        DataError: if the digests differ; gives both.
    """
    # The digest tells damage from the published file; it is no defence, so MD5 will do.
    actual = hashlib.new(algorithm, payload, usedforsecurity=False).hexdigest()
    if actual != expected:
        raise DataError(
            f"{where} is not the published file: its {algorithm.upper()} is {actual}, "
            f"and should be {expected}. It was damaged or altered: fetch it again. "
            f"{UNVERIFIED_REMEDY}"
        )


def check_whole_records(payload: bytes, record_bytes: int, where: str) -> None:
    """Refuse an empty file, and one that ends within a record.

    Args:
        payload: the content.
        record_bytes: the size of a record, in bytes.
        where: which file this is, for the message.

    Raises:
        DataError: if the file is no whole number of records.
    """
    size = len(payload)
    if not size or size % record_bytes:
        raise DataError(
            f"{where} is truncated: its {size:,} bytes are no whole number of records "
            f"of {record_bytes:,} bytes. Fetch it again."
        )


def check_labels(
    labels: Shaped[np.ndarray, " n"], num_classes: int, where: str
) -> Int[np.ndarray, " n"]:
    """Return the labels as ``int32``, or refuse them if one is out of range.

    Args:
        labels: integers of any type, Python objects included.
        num_classes: labels are 0, 1, …, ``num_classes − 1``.
        where: which file this is, for the message.

    Raises:
        DataError: if a label is out of range; names the record.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if outside.size:
        first = outside[0]
        raise DataError(
            f"{where}: record {first} has the label {labels[first]}, outside 0 to "
            f"{num_classes - 1}. The file is damaged or of another set: fetch it again."
        )
    return labels.astype(np.int32)


def concatenate(splits: list[Split]) -> Split:
    """The records of several files as one split, in the order given."""
    images, labels = zip(*splits, strict=True)
    return Split(np.concatenate(images), np.concatenate(labels))


def hold_out_last_tenth(split: Split) -> tuple[Split, Split]:
    """Cut the last tenth of the records, in file order, off for validation."""
    n = len(split.labels)
    end = n - n // 10
    return (
        Split(split.images[:end], split.labels[:end]),
        Split(split.images[end:], split.labels[end:]),
    )
