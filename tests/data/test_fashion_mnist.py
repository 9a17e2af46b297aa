"""Fashion-MNIST, on small synthetic IDX files, and on Debian's if they are there."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from wdjax.data import DataError, load
from wdjax.data.fashion_mnist import DEBIAN_FOLDER, load_fashion_mnist
from wdjax.data.idx import parse_idx

NUM = {"train": 20, "t10k": 5}


def idx(array):
    """The IDX encoding, written from its description."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        f"{prefix}-{kind}-idx{ndim}-ubyte": rng.integers(high, size=(n, *shape))
        for prefix, n in NUM.items()
        for kind, ndim, high, shape in [
            ("images", 3, 256, (28, 28)),
            ("labels", 1, 10, ()),
        ]
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for name, array in arrays.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


@pytest.fixture
def checksums(arrays):
    return {n: hashlib.sha256(idx(a)).hexdigest() for n, a in arrays.items()}


def test_images_are_padded_and_repeated_in_three_channels(folder, arrays, checksums):
    dataset = load_fashion_mnist(folder, checksums=checksums)
    images, labels = dataset.test
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    for channel in range(3):
        np.testing.assert_array_equal(
            images[:, 2:30, 2:30, channel], arrays["t10k-images-idx3-ubyte"]
        )
    assert images.sum(dtype=int) == 3 * arrays["t10k-images-idx3-ubyte"].sum()
    np.testing.assert_array_equal(labels, arrays["t10k-labels-idx1-ubyte"])
    assert dataset.verified


def test_validation_is_the_last_tenth_of_training(folder, arrays, checksums):
    dataset = load_fashion_mnist(folder, checksums=checksums)
    labels = arrays["train-labels-idx1-ubyte"]
    np.testing.assert_array_equal(dataset.train.labels, labels[:18])
    np.testing.assert_array_equal(dataset.validation.labels, labels[18:])


def test_plain_files_do_as_well_as_compressed_ones(folder, checksums):
    for path in folder.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load_fashion_mnist(folder, checksums=checksums).verified


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_altered_byte_is_refused_with_both_digests(
    folder, arrays, checksums, suffix
):
    name = "t10k-images-idx3-ubyte"
    payload = bytearray(idx(arrays[name]))
    payload[-1] ^= 1
    (folder / f"{name}.gz").unlink()
    data = gzip.compress(payload) if suffix else payload
    (folder / f"{name}{suffix}").write_bytes(data)
    with pytest.raises(DataError) as caught:
        load_fashion_mnist(folder, checksums=checksums)
    for part in (name, hashlib.sha256(payload).hexdigest(), checksums[name]):
        assert part in str(caught.value)
    assert "--allow-unverified" in str(caught.value)
    assert "allow_unverified=True" in str(caught.value)


def test_other_files_load_unverified_and_say_so(folder):
    dataset = load("fashion_mnist", str(folder), allow_unverified=True)
    assert not dataset.verified
    assert dataset.label == "Fashion-MNIST (unverified, n = 18)"


def test_other_files_are_refused_by_default(folder):
    with pytest.raises(DataError, match="SHA256"):
        load("fashion_mnist", folder)


def test_a_missing_file_is_named_with_its_source(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        load("fashion_mnist", folder, allow_unverified=True)
    for part in (
        str(folder),
        "train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz",
        "apt-get install dataset-fashion-mnist",
        "https://github.com/zalandoresearch/fashion-mnist",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("keep", [-5, 7, 100])
def test_a_truncated_compressed_file_is_refused(folder, keep):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images.*truncated or damaged"):
        load("fashion_mnist", folder, allow_unverified=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "truncated: its header announces 15,680 bytes"),
        (lambda b: b + b"x", "too long: its header announces 15,680 bytes"),
        (lambda b: b[:9], "truncated in its header"),
        (lambda b: b[:3], "no IDX file"),
        (lambda b: b"", "starts with nothing"),
        (lambda b: b"PNG!" + b[4:], "starts with 50 4e 47 21"),
    ],
)
def test_a_damaged_idx_file_is_refused(arrays, damage, message):
    payload = damage(idx(arrays["train-images-idx3-ubyte"]))
    with pytest.raises(DataError, match=message):
        parse_idx(payload, "here")


def test_truncation_is_reported_before_the_checksum(folder, arrays, checksums):
    name = "train-images-idx3-ubyte"
    (folder / name).write_bytes(idx(arrays[name])[:-1])
    with pytest.raises(DataError, match="truncated"):
        load_fashion_mnist(folder, checksums=checksums)


def test_a_label_out_of_range_is_refused(folder, arrays):
    labels = arrays["t10k-labels-idx1-ubyte"]
    labels[3] = 10
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match="record 3 has the label 10, outside 0 to 9"):
        load("fashion_mnist", folder, allow_unverified=True)


@pytest.mark.parametrize("shape", [(19, 28, 28), (20, 28, 27), (20,)])
def test_images_that_do_not_fit_their_labels_are_refused(folder, shape):
    images = np.zeros(shape, np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    with pytest.raises(DataError, match="expected n images of 28 × 28 and n labels"):
        load("fashion_mnist", folder, allow_unverified=True)


@pytest.mark.skipif(
    not DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_debians_files_are_the_published_ones():
    dataset = load("fashion_mnist")
    assert dataset.label == "Fashion-MNIST (n = 54,000)"
    assert dataset.train.images.shape == (54_000, 32, 32, 3)
    assert len(dataset.validation.labels) == 6_000
    # Its authors drew 1,000 test images from each class.
    np.testing.assert_array_equal(np.bincount(dataset.test.labels), [1_000] * 10)
