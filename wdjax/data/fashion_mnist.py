"""Fashion-MNIST, from Debian's package or from a folder of the user's.

28 × 28 grey images, padded with zeros to 32 × 32 and repeated in three channels.
The last tenth of the published training set, in file order, is the validation set:
54,000 training, 6,000 validation and 10,000 test images.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from wdjax.data.idx import parse_idx, read_payload
from wdjax.data.reading import check_digest, check_labels, hold_out_last_tenth
from wdjax.data.types import DataError, Dataset, Split

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")

# Of the decompressed content: Debian compresses the files anew.
SHA256 = MappingProxyType(
    {
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    }
)

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CITATION = (
    "Xiao, Rasul & Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset for "
    "Benchmarking Machine Learning Algorithms, arXiv:1708.07747."
)
SOURCE = (
    "Install Debian's package (`apt-get install dataset-fashion-mnist`), or fetch the "
    "four files from https://github.com/zalandoresearch/fashion-mnist and name the "
    "folder that holds them."
)


def find_file(folder: Path, name: str) -> Path:
    """The file of this name, plain or compressed."""
    candidates = [folder / name, folder / f"{name}.gz"]
    for path in candidates:
        if os.path.isfile(path):  # Path.is_file() raises where a name is too long
            return path
    raise DataError(
        f"Fashion-MNIST was not found: {folder} holds neither {candidates[0].name} "
        f"nor {candidates[1].name}. {SOURCE}"
    )


def to_32_by_32_rgb(
    images: UInt8[np.ndarray, "n 28 28"],
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Pad with two rows and columns of zeros all round; repeat in three channels."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return np.repeat(padded[..., None], 3, axis=-1)


def read_split(folder: Path, prefix: str, checksums: Mapping[str, str]) -> Split:
    """Read the images and labels called ``prefix``; check what has a checksum."""
    names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    paths = [find_file(folder, name) for name in names]
    arrays = []
    for name, path in zip(names, paths, strict=True):
        payload = read_payload(path)
        # Parsed first: "truncated" says more than "another checksum".
        arrays.append(parse_idx(payload, str(path)))
        if name in checksums:
            check_digest(payload, "sha256", checksums[name], str(path))
    images, labels = arrays
    if images.shape != (labels.size, 28, 28) or labels.ndim != 1:
        raise DataError(
            f"{paths[0]} has the shape {images.shape} and {paths[1]} {labels.shape}; "
            "expected n images of 28 × 28 and n labels. Name the folder that holds "
            "the published files."
        )
    return Split(
        to_32_by_32_rgb(images), check_labels(labels, len(CLASSES), str(paths[1]))
    )


def load_fashion_mnist(
    folder: Path | None = None,
    *,
    allow_unverified: bool = False,
    checksums: Mapping[str, str] = SHA256,
) -> Dataset:
    """Load Fashion-MNIST.

    Args:
        folder: holds the four IDX files, plain or ``.gz``; if not given, Debian's.
        allow_unverified: skip the checksums and stamp the result as unverified.
        checksums: SHA256 of each file's decompressed content, by name.

    Raises:
        DataError: if a file is missing, damaged or altered.
    """
    folder = DEBIAN_FOLDER if folder is None else folder
    checksums = {} if allow_unverified else checksums
    train, validation = hold_out_last_tenth(read_split(folder, "train", checksums))
    return Dataset(
        name="Fashion-MNIST",
        citation=CITATION,
        licence="MIT, © 2017 Zalando SE",
        classes=CLASSES,
        train=train,
        validation=validation,
        test=read_split(folder, "t10k", checksums),
        verified=not allow_unverified,
    )
