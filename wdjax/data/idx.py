"""The IDX format, in which MNIST and Fashion-MNIST are published."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wdjax.data.reading import read_file
from wdjax.data.types import DataError

UNSIGNED_BYTE = 0x08
# The largest published file has 47 MB; a compressed one can hold any size.
MAX_BYTES = 200_000_000
MAX_DIMENSIONS = 3


def read_payload(path: Path) -> bytes:
    """The content of a file, decompressed if its name ends in ``.gz``.

    Raises:
        DataError: if it cannot be read, the compressed file is truncated or damaged, or
            it holds more than any published one.
    """
    if path.suffix != ".gz":
        return read_file(path)
    try:
        with gzip.open(path) as file:
            payload = file.read(MAX_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be decompressed ({error}): it was truncated or damaged. "
            "Fetch it again."
        ) from error
    if len(payload) > MAX_BYTES:
        raise DataError(
            f"{path} holds more than {MAX_BYTES:,} bytes, and no published file does. "
            "It is another file: fetch it again."
        )
    return payload


def parse_idx(payload: bytes, where: str) -> UInt8[np.ndarray, "*shape"]:
    """Parse an IDX file of unsigned bytes.

    Two zero bytes, the type, the number of dimensions; then each dimension as a
    big-endian ``uint32``; then the data, row-major.

    Args:
        payload: the file's content, decompressed.
        where: which file this is, for the message.

    Returns:
        The array, read-only.

    Raises:
        DataError: if this is no such file, or too short or too long.

    References:
        LeCun, Cortes & Burges, *The MNIST database*, "File formats".
    """
    if payload[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(payload) < 4:
        raise DataError(
            f"{where} is no IDX file of unsigned bytes: it starts with "
            f"{payload[:4].hex(' ') or 'nothing'} instead of 00 00 08. Name the folder "
            "that holds the published files."
        )
    start = 4 + 4 * payload[3]
    if len(payload) < start:
        raise DataError(f"{where} is truncated in its header. Fetch it again.")
    shape = struct.unpack(f">{payload[3]}I", payload[4:start])
    if len(payload) - start != prod(shape):
        fault = "truncated" if len(payload) - start < prod(shape) else "too long"
        raise DataError(
            f"{where} is {fault}: its header announces {prod(shape):,} bytes of data "
            f"and {len(payload) - start:,} follow. Fetch it again."
        )
    if len(shape) > MAX_DIMENSIONS:
        raise DataError(
            f"{where} announces {len(shape)} dimensions, and no published file has "
            f"more than {MAX_DIMENSIONS}. Fetch it again."
        )
    return np.frombuffer(payload, np.uint8, offset=start).reshape(shape)
