"""photos10: from which of ten photographs was this patch cut?

The photographs come with wdjax, at short side 256; their sources and licences are
in ``photos10/LICENCES.md``. Each is divided into tiles of about 64 × 64 pixels,
and each tile belongs to one split alone, so that train, validation and test share
no pixel. A patch is a square window inside a tile, 32 to 64 pixels wide at random,
sampled at 32 × 32 of its pixels (the nearest ones, never a mixture), and mirrored left
to right in half of the cases.

It is no benchmark. It is there so that everything runs without a download, on
images hard enough for a small network to overfit.
"""

import itertools
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from wdjax.data.types import Dataset, Split

PATCH_SIZE = 32
TILE_SIZE = 64
MAX_ZOOM = 2
SEED = 0

# Of each photograph's tiles: one half, one quarter, the rest.
TILE_SHARES = (0.5, 0.25)

CITATION = (
    "Ten free photographs distributed with scikit-image and scikit-learn; "
    "credits in wdjax/data/photos10/LICENCES.md."
)
LICENCE = "public domain, CC0 1.0 and CC BY 2.0; see wdjax/data/photos10/LICENCES.md"


class Tile(NamedTuple):
    """A rectangle of pixels: rows ``top:bottom``, columns ``left:right``."""

    top: int
    bottom: int
    left: int
    right: int


class TileSplit(NamedTuple):
    """Which tiles of one photograph belong to which split."""

    train: list[Tile]
    validation: list[Tile]
    test: list[Tile]


class Windows(NamedTuple):
    """Square windows of a photograph: corner, side in pixels, and whether mirrored."""

    top: Int[np.ndarray, " n"]
    left: Int[np.ndarray, " n"]
    size: Int[np.ndarray, " n"]
    mirrored: Bool[np.ndarray, " n"]


def photographs() -> dict[str, UInt8[np.ndarray, "_ _ 3"]]:
    """The ten photographs by name, in the order of the labels."""
    # By name, so that the labels do not depend on the archive's order.
    archive = resources.files("wdjax.data") / "photos10" / "photos10.npz"
    with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in sorted(arrays.files)}


def split_tiles(height: int, width: int, rng: np.random.Generator) -> TileSplit:
    """Deal a photograph's tiles out to train, validation and test.

    Args:
        height: of the photograph, in pixels.
        width: of the photograph, in pixels.
        rng: decides which tile goes where.

    Returns:
        Disjoint lists of tiles which together cover the photograph.
    """
    rows = np.linspace(0, height, height // TILE_SIZE + 1, dtype=int).tolist()
    columns = np.linspace(0, width, width // TILE_SIZE + 1, dtype=int).tolist()
    tiles = [
        Tile(top, bottom, left, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    shuffled = [tiles[i] for i in rng.permutation(len(tiles))]
    first, second = (round(s * len(tiles)) for s in np.cumsum(TILE_SHARES))
    return TileSplit(shuffled[:first], shuffled[first:second], shuffled[second:])


def draw_windows(tiles: list[Tile], n: int, rng: np.random.Generator) -> Windows:
    """``n`` windows, each inside one of the tiles; half of them mirrored."""
    chosen = np.array(tiles)[rng.integers(len(tiles), size=n)]
    top, bottom, left, right = chosen.T
    widest = np.minimum(MAX_ZOOM * PATCH_SIZE, np.minimum(bottom - top, right - left))
    size = rng.integers(PATCH_SIZE, widest + 1)
    return Windows(
        top=rng.integers(top, bottom - size + 1),
        left=rng.integers(left, right - size + 1),
        size=size,
        mirrored=rng.random(n) < 0.5,
    )


def cut(
    photograph: UInt8[np.ndarray, "height width 3"], windows: Windows
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Sample each window at the centres of a grid of 32 × 32 cells."""
    cells = np.arange(PATCH_SIZE)
    # ⌊(i + ½) · size/32⌋, in integers: exact, and below size
    offsets = (2 * cells + 1) * windows.size[:, None] // (2 * PATCH_SIZE)
    rows = windows.top[:, None] + offsets
    columns = windows.left[:, None] + np.where(
        windows.mirrored[:, None], offsets[:, ::-1], offsets
    )
    return photograph[rows[:, :, None], columns[:, None, :]]


def draw_split(
    images: list[UInt8[np.ndarray, "_ _ 3"]],
    tiles: list[list[Tile]],
    n: int,
    rng: np.random.Generator,
) -> Split:
    """``n`` patches in random order, equally many from each photograph."""
    per_class = n // len(images)
    patches = [
        cut(image, draw_windows(own, per_class, rng))
        for image, own in zip(images, tiles, strict=True)
    ]
    labels = np.repeat(np.arange(len(images), dtype=np.int32), per_class)
    order = rng.permutation(n)
    return Split(np.concatenate(patches)[order], labels[order])


def photos10(
    num_train: int = 4_000, num_validation: int = 2_000, num_test: int = 2_000
) -> Dataset:
    """Patches of ten photographs, 32 × 32 × 3, ten balanced classes.

    The same sizes always give the same patches.

    Args:
        num_train: number of training patches, a multiple of ten.
        num_validation: number of validation patches, a multiple of ten.
        num_test: number of test patches, a multiple of ten.

    Returns:
        The three splits; they share no pixel.

    Raises:
        ValueError: if a size is not a positive multiple of ten.
    """
    named = photographs()
    images = list(named.values())
    sizes = {
        "num_train": num_train,
        "num_validation": num_validation,
        "num_test": num_test,
    }
    for argument, size in sizes.items():
        if size <= 0 or size % len(images):
            raise ValueError(
                f"{argument} = {size} does not divide into ten classes of equal size; "
                f"give a positive multiple of {len(images)}."
            )
    tile_rng, *split_rngs = np.random.default_rng(SEED).spawn(1 + len(sizes))
    tiles = [split_tiles(image.shape[0], image.shape[1], tile_rng) for image in images]
    train, validation, test = (
        draw_split(images, list(own), size, rng)
        for own, size, rng in zip(
            zip(*tiles, strict=True), sizes.values(), split_rngs, strict=True
        )
    )
    return Dataset(
        name="photos10",
        citation=CITATION,
        licence=LICENCE,
        classes=tuple(named),
        train=train,
        validation=validation,
        test=test,
    )
