"""photos10: balanced, deterministic, and no pixel in two splits."""

import hashlib
import itertools
import math
import time
from importlib import resources

import numpy as np
import pytest

from wdjax.data import load
from wdjax.data.photos import (
    Tile,
    TileSplit,
    Windows,
    cut,
    draw_windows,
    photographs,
    photos10,
    split_tiles,
)


@pytest.fixture(scope="module")
def dataset():
    return photos10()


def indexed(height, width):
    """An image whose pixels say which they are: row, column, 0."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


def in_two_bytes(numbers):
    """385 columns do not fit into one byte: quotient and rest in two channels."""
    channels = [numbers // 256, numbers % 256, 0 * numbers]
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("shape", [(256, 256), (256, 385), (300, 256), (64, 129)])
def test_tiles_cover_the_photograph_once(shape):
    times_covered = np.zeros(shape, int)
    for tile in itertools.chain(*split_tiles(*shape, np.random.default_rng(0))):
        times_covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    np.testing.assert_array_equal(times_covered, 1)


def test_the_splits_share_no_pixel(monkeypatch):
    """Replace each photograph by its pixels' addresses, and see which are drawn."""
    shapes = {name: image.shape[:2] for name, image in photographs().items()}
    drawn = {field: [] for field in TileSplit._fields}
    for axis in (0, 1):
        addresses = {
            name: in_two_bytes(np.indices(s)[axis]) for name, s in shapes.items()
        }
        monkeypatch.setattr("wdjax.data.photos.photographs", lambda a=addresses: a)
        dataset = photos10()
        for field, coordinates in drawn.items():
            high, low, _ = np.moveaxis(
                getattr(dataset, field).images.astype(int), -1, 0
            )
            coordinates.append(256 * high + low)
    pixels = {}
    for field, (rows, columns) in drawn.items():
        labels = getattr(dataset, field).labels[:, None, None] + 0 * rows
        pixels[field] = set(
            ((labels * 1_000 + rows) * 1_000 + columns).ravel().tolist()
        )
        assert len(pixels[field]) > 50_000
    for one, other in itertools.combinations(pixels.values(), 2):
        assert one.isdisjoint(other)


def test_windows_stay_inside_their_tile_and_reach_its_edges():
    tile = Tile(top=10, bottom=50, left=7, right=70)
    top, left, size, mirrored = draw_windows([tile], 20_000, np.random.default_rng(0))
    # Sides 32 to 40, and at most 9 × 32 corners each: 20,000 draws meet each edge.
    assert (size.min(), size.max()) == (32, 40)
    assert (top.min(), left.min()) == (10, 7)
    assert ((top + size).max(), (left + size).max()) == (50, 70)
    # A fair coin, 20,000 times: 4 standard deviations are 0.014.
    assert abs(mirrored.mean() - 0.5) < 0.014


def test_windows_are_at_most_twice_a_patch():
    tile = Tile(top=0, bottom=100, left=0, right=100)
    windows = draw_windows([tile], 20_000, np.random.default_rng(0))
    assert (windows.size.min(), windows.size.max()) == (32, 64)


def test_every_tile_is_drawn_from():
    tiles = [Tile(0, 64, left, left + 64) for left in range(0, 640, 64)]
    windows = draw_windows(tiles, 2_000, np.random.default_rng(0))
    assert set((windows.left // 64).tolist()) == set(range(10))


def window(size, mirrored):
    return Windows(*(np.array([v]) for v in (3, 40, size, mirrored)))


def test_a_patch_is_the_window_at_its_corner_and_may_be_mirrored():
    photograph = indexed(100, 120)
    expected = photograph[3:35, 40:72]
    np.testing.assert_array_equal(cut(photograph, window(32, False))[0], expected)
    np.testing.assert_array_equal(
        cut(photograph, window(32, True))[0], expected[:, ::-1]
    )


@pytest.mark.parametrize("size", [33, 48, 63, 64])
def test_a_wider_window_is_sampled_at_the_centres_of_its_cells(size):
    photograph = indexed(100, 120)
    (patch,) = cut(photograph, window(size, False))
    centres = [math.floor((i + 0.5) * size / 32) for i in range(32)]
    expected = photograph[3 : 3 + size, 40 : 40 + size][np.ix_(centres, centres)]
    np.testing.assert_array_equal(patch, expected)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_classes_are_balanced(dataset, split):
    labels = getattr(dataset, split).labels
    np.testing.assert_array_equal(np.bincount(labels), [len(labels) // 10] * 10)


def test_labels_name_the_photograph_that_the_patch_was_cut_from(dataset):
    """Hue alone tells the red retina and the grey cameraman from the rest."""
    images, labels = dataset.train
    is_grey = (images.min(-1) == images.max(-1)).all((1, 2))
    assert is_grey[labels == dataset.classes.index("camera")].all()
    is_retina = labels == dataset.classes.index("retina")
    red, _, blue = images[is_retina].mean((0, 1, 2))
    assert red > 1.5 * blue


def test_patches_come_in_random_order(dataset):
    assert len(set(dataset.train.labels[:20].tolist())) > 5


def test_patches_are_the_same_on_every_machine_and_in_every_version(dataset):
    """Pinned, since every result on photos10 depends on it."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.validation, dataset.test):
        digest.update(split.images.tobytes())
        digest.update(split.labels.astype("<i4").tobytes())
    assert digest.hexdigest() == (
        "c656195a5e1e979d062067ffb102aada420d30d98335f3faeec79cadcc7f2973"
    )


def test_sizes_can_be_chosen():
    small = photos10(num_train=20, num_validation=10, num_test=30)
    sizes = [len(s.labels) for s in (small.train, small.validation, small.test)]
    assert sizes == [20, 10, 30]


@pytest.mark.parametrize("size", [0, -10, 15])
def test_sizes_that_cannot_be_balanced_are_refused(size):
    with pytest.raises(ValueError, match=rf"num_test = {size} .*multiple of 10"):
        photos10(num_test=size)


def test_loading_takes_less_than_a_second():
    """0.15 s on two slow cores; the limit leaves room for a busy machine."""
    start = time.process_time()
    load("photos10")
    assert time.process_time() - start < 1


def test_every_photograph_is_credited():
    text = (resources.files("wdjax.data") / "photos10" / "LICENCES.md").read_text()
    for name in photographs():
        assert f"## {name}" in text
