"""Parse one file of CIFAR, binary or pickled, whose content has been checked."""

import numpy as np
from jaxtyping import UInt8

from wdjax.data.pickles import read_pickle
from wdjax.data.reading import check_labels
from wdjax.data.types import DataError, Split

PIXEL_BYTES = 3 * 32 * 32


def channels_last(
    pixels: UInt8[np.ndarray, "n 3072"],
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """1,024 red, 1,024 green and 1,024 blue bytes, row-major, as an image."""
    planes = pixels.reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def parse_binary(
    payload: bytes, where: str, *, num_classes: int, label_bytes: int
) -> Split:
    """Parse records of ``label_bytes`` labels, the finest last, and 3,072 pixels."""
    records = np.frombuffer(payload, np.uint8)
    records = records.reshape(-1, label_bytes + PIXEL_BYTES)
    labels = check_labels(records[:, label_bytes - 1], num_classes, where)
    return Split(channels_last(records[:, label_bytes:]), labels)


def parse_python(
    payload: bytes, where: str, *, num_classes: int, label_key: bytes
) -> Split:
    """Parse a pickled dictionary of ``b"data"`` and of labels under ``label_key``."""
    content = read_pickle(payload, where)
    pixels, labels = content.get(b"data"), content.get(label_key)
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (PIXEL_BYTES,)
        or not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(type(label) is int for label in labels)
    ):
        raise DataError(
            f"{where} is not laid out as CIFAR's Python version is: expected n "
            f"rows of {PIXEL_BYTES:,} bytes under b'data' and a list of n integers "
            f"under {label_key!r}. Name the folder that holds the published files."
        )
    # As objects, so that no integer overflows before its range is checked.
    labels = check_labels(np.array(labels, object), num_classes, where)
    return Split(channels_last(pixels), labels)
