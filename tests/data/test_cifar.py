"""CIFAR, on small synthetic files in the published layouts."""

import gzip
import hashlib
import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from wdjax.data import DataError, load
from wdjax.data.cifar import load_cifar
from wdjax.data.cifar_tables import CIFAR10, CIFAR100
from wdjax.data.members import MAX_MEMBER_BYTES
from wdjax.data.pickles import read_pickle

FIXTURES = Path(__file__).parent / "fixtures"
NUM_PER_FILE = 20
BINARY, PYTHON = 0, 1
FLAGS = "`--allow-unverified` on the command line, `allow_unverified=True` in Python"


def python_pickle(content):
    """Pickle as Python 2 did: keys and data as bytes, NumPy under its old name.

    Protocol 2 would wrap bytes in a call of ``_codecs.encode``, 5 arrays in another.
    """
    data = pickle.dumps(content, protocol=3)
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python_file(cifar, pixels, labels):
    key = b"labels" if cifar.name == "CIFAR-10" else b"fine_labels"
    # Of the two labels of CIFAR-100, the coarse one must not be taken.
    coarse = {b"coarse_labels": [0] * len(labels)}
    return python_pickle({b"data": pixels, key: labels.tolist(), **coarse})


def binary_file(cifar, pixels, labels):
    label_columns = [labels] if cifar.name == "CIFAR-10" else [0 * labels, labels]
    records = np.column_stack([*label_columns, pixels]).astype(np.uint8)
    return records.tobytes()


def small(cifar, version, seed=0):
    """A small set in a published layout: its table, its files, what is in them."""
    encode = (binary_file, python_file)[version]
    layout = cifar.versions[version]
    rng = np.random.default_rng(seed)
    pixels, labels, files = {}, {}, {}
    for name in (*layout.train, *layout.test):
        pixels[name] = rng.integers(256, size=(NUM_PER_FILE, 3072), dtype=np.uint8)
        labels[name] = rng.integers(len(cifar.classes), size=NUM_PER_FILE)
        files[name] = encode(cifar, pixels[name], labels[name])
    layout = layout._replace(
        train={n: hashlib.md5(files[n]).hexdigest() for n in layout.train},
        test={n: hashlib.md5(files[n]).hexdigest() for n in layout.test},
    )
    versions = list(cifar.versions)
    versions[version] = layout
    first = np.concatenate([labels[n] for n in layout.train])[:10]
    table = cifar._replace(
        versions=tuple(versions),
        first_labels=tuple(first.tolist()) if cifar.first_labels else (),
    )
    return table, layout, files, pixels, labels


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def image_by_hand(row):
    """1,024 R, 1,024 G, 1,024 B, row-major."""
    image = np.empty((32, 32, 3), np.uint8)
    for i, j, c in np.ndindex(32, 32, 3):
        image[i, j, c] = row[1024 * c + 32 * i + j]
    return image


both_sets = pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100], ids=lambda c: c.name)
both_versions = pytest.mark.parametrize("version", [BINARY, PYTHON])


@both_sets
@both_versions
@pytest.mark.parametrize("place", ["files", "subfolder", "archive", "in the archive"])
def test_what_was_written_is_read_wherever_it_lies(tmp_path, cifar, version, place):
    table, layout, files, pixels, labels = small(cifar, version)
    if place == "files":
        write_folder(tmp_path, files)
    elif place == "subfolder":
        write_folder(tmp_path / layout.subfolder, files)
    else:
        members = [(f"{layout.subfolder}/{n}", d) for n, d in files.items()]
        archive = write_archive(tmp_path / layout.archive, reversed(members))
        tmp_path = tmp_path if place == "archive" else archive

    dataset = load_cifar(table, tmp_path)

    all_labels = np.concatenate([labels[n] for n in layout.train])
    cut = len(all_labels) * 9 // 10
    np.testing.assert_array_equal(dataset.train.labels, all_labels[:cut])
    np.testing.assert_array_equal(dataset.validation.labels, all_labels[cut:])
    (test_name,) = layout.test
    np.testing.assert_array_equal(dataset.test.labels, labels[test_name])
    for i in (0, -1):
        by_hand = image_by_hand(pixels[test_name][i])
        np.testing.assert_array_equal(dataset.test.images[i], by_hand)
    last = image_by_hand(pixels[list(layout.train)[-1]][-1])
    np.testing.assert_array_equal(dataset.validation.images[-1], last)
    assert dataset.verified
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.shape == (len(split.labels), 32, 32, 3)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int32


def test_the_binary_version_is_preferred(tmp_path):
    binary = small(CIFAR10, BINARY, seed=1)
    python = small(CIFAR10, PYTHON, seed=2)
    write_folder(tmp_path, binary[2] | python[2])
    dataset = load_cifar(binary[0], tmp_path)
    np.testing.assert_array_equal(dataset.test.labels, binary[4]["test_batch.bin"])


@both_versions
def test_an_altered_byte_is_refused_with_both_digests_and_the_flag(tmp_path, version):
    table, layout, files, *_ = small(CIFAR10, version)
    name = list(layout.train)[2]
    # Inside the pixels: the file stays readable in every other respect.
    altered = bytearray(files[name])
    altered[len(altered) // 2] ^= 1
    write_folder(tmp_path, files | {name: bytes(altered)})
    with pytest.raises(DataError) as caught:
        load_cifar(table, tmp_path)
    actual = hashlib.md5(altered).hexdigest()
    for part in (str(tmp_path / name), actual, layout.train[name], FLAGS):
        assert part in str(caught.value)
    assert not load_cifar(table, tmp_path, allow_unverified=True).verified


@pytest.mark.parametrize("keep", [0, 1, 3073 * 4 - 1])
@pytest.mark.parametrize("allow_unverified", [False, True])
def test_a_truncated_binary_file_is_refused(tmp_path, keep, allow_unverified):
    table, _, files, *_ = small(CIFAR10, BINARY)
    name = "data_batch_3.bin"
    write_folder(tmp_path, files | {name: files[name][:keep]})
    with pytest.raises(DataError, match=rf"{name} is truncated: its {keep:,} bytes"):
        load_cifar(table, tmp_path, allow_unverified=allow_unverified)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_pickle_is_refused(tmp_path, keep):
    table, _, files, *_ = small(CIFAR10, PYTHON)
    name = "data_batch_3"
    write_folder(tmp_path, files | {name: files[name][:keep]})
    with pytest.raises(DataError, match=rf"{name} .*truncated"):
        load_cifar(table, tmp_path, allow_unverified=True)


@both_versions
@pytest.mark.parametrize("keep", [30, 5_000, -100])
def test_a_truncated_archive_is_refused(tmp_path, version, keep):
    table, layout, files, *_ = small(CIFAR10, version)
    archive = write_archive(tmp_path / layout.archive, files.items())
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{layout.archive}.*truncated or damaged"):
        load_cifar(table, tmp_path, allow_unverified=True)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "cifar.zip"
    path.write_bytes(b"PK" + bytes(1_000))
    with pytest.raises(DataError, match=r"cifar\.zip cannot be read as an archive"):
        load("cifar10", path)


@pytest.mark.parametrize(
    ("cifar", "version", "label", "outside"),
    [
        (CIFAR10, BINARY, 10, "0 to 9"),
        (CIFAR10, PYTHON, 10, "0 to 9"),
        (CIFAR10, PYTHON, -1, "0 to 9"),
        (CIFAR100, BINARY, 100, "0 to 99"),
        (CIFAR100, PYTHON, 2**32, "0 to 99"),
    ],
)
def test_a_label_out_of_range_is_refused(tmp_path, cifar, version, label, outside):
    table, layout, files, pixels, labels = small(cifar, version)
    (name,) = layout.test
    labels[name][7] = label
    encode = (binary_file, python_file)[version]
    write_folder(tmp_path, files | {name: encode(cifar, pixels[name], labels[name])})
    message = f"{name}: record 7 has the label {label}, outside {outside}"
    with pytest.raises(DataError, match=message):
        load_cifar(table, tmp_path, allow_unverified=True)


class Foreign:
    """Its unpickling would call ``os.system``."""

    def __reduce__(self):
        import os

        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Foreign(), "posix.system|nt.system"),
        ({"data": Foreign()}, "posix.system|nt.system"),
        (eval, "builtins.eval"),
        (np.load, "numpy.load"),
        (np.float64(1), "numpy._core.multiarray.scalar|numpy.core.multiarray.scalar"),
    ],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_foreign_global_is_refused_by_name(content, named, protocol):
    payload = pickle.dumps(content, protocol=protocol)
    with pytest.raises(DataError) as caught:
        read_pickle(payload, "here")
    message = str(caught.value).replace("__builtin__", "builtins")
    assert any(f"asks for {name}" in message for name in named.split("|"))
    assert "numpy.ndarray, numpy.dtype, numpy.core.multiarray._reconstruct" in message


def test_a_foreign_global_is_refused_before_it_is_called(tmp_path):
    """`os.mkdir` would leave a trace."""
    trace = tmp_path / "trace"
    payload = b"cos\nmkdir\n(V" + str(trace).encode() + b"\ntR."
    with pytest.raises(DataError, match=r"asks for os\.mkdir"):
        read_pickle(payload, "here")
    assert not trace.exists()


def test_an_altered_pickle_is_not_even_unpickled(tmp_path):
    table, _, files, *_ = small(CIFAR10, PYTHON)
    write_folder(tmp_path, files | {"data_batch_1": pickle.dumps(Foreign())})
    with pytest.raises(DataError, match="is not the published file: its MD5"):
        load_cifar(table, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"labels": [0, 0]},
        {b"data": np.zeros((2, 3071), np.uint8), b"labels": [0, 0]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 0.5]},
        {b"data": np.zeros((2, 3072), np.int16), b"labels": [0, 0]},
        {b"data": np.zeros((), np.uint8), b"labels": []},
        {b"data": [0], b"labels": [0]},
    ],
)
def test_a_pickle_of_another_layout_is_refused(tmp_path, content):
    table, _, files, *_ = small(CIFAR10, PYTHON)
    write_folder(tmp_path, files | {"test_batch": python_pickle(content)})
    with pytest.raises(DataError, match="is not laid out as CIFAR's Python version"):
        load_cifar(table, tmp_path, allow_unverified=True)


def test_a_pickle_of_no_dictionary_is_refused():
    with pytest.raises(DataError, match="holds a list instead of a dictionary"):
        read_pickle(pickle.dumps([1]), "here")


def test_a_genuine_python_2_pickle_is_read(tmp_path):
    """Written by Python 2 and NumPy 1.16; NumPy 2 has other names and other types."""
    for name in ("data_batch_1", "test_batch"):
        shutil.copy(FIXTURES / "cifar10_py2_pickle_batch", tmp_path / name)
    dataset = load("cifar10", tmp_path, allow_unverified=True)
    assert dataset.label == "CIFAR-10 (unverified, n = 18)"
    np.testing.assert_array_equal(dataset.test.labels, [*range(10), *range(10)])
    # The pixels lie in the file as they are: 20 × 3,072 bytes after this opcode.
    raw = (FIXTURES / "cifar10_py2_pickle_batch").read_bytes()
    start = raw.index(b"\x89T" + (20 * 3072).to_bytes(4, "little")) + 6
    first = np.frombuffer(raw, np.uint8, 3072, start)
    np.testing.assert_array_equal(dataset.test.images[0], image_by_hand(first))


@both_sets
@both_versions
def test_a_missing_file_is_named(tmp_path, cifar, version):
    table, layout, files, *_ = small(cifar, version)
    (name,) = layout.test
    del files[name]
    members = [(f"{layout.subfolder}/{n}", d) for n, d in files.items()]
    write_archive(tmp_path / layout.archive, members)
    for allow_unverified in (False, True):
        with pytest.raises(DataError) as caught:
            load_cifar(table, tmp_path, allow_unverified=allow_unverified)
        message = str(caught.value)
        assert f"but not {name}. " in message
        assert layout.archive in message
        assert "https://www.cs.toronto.edu/~kriz/cifar.html" in message


@both_versions
def test_missing_training_files_are_refused_unless_allowed(tmp_path, version):
    table, layout, files, _, labels = small(CIFAR10, version)
    first, second, *_ = layout.train
    for name in list(layout.train)[2:]:
        del files[name]
    write_folder(tmp_path, files)
    with pytest.raises(DataError, match="but not data_batch_3") as caught:
        load_cifar(table, tmp_path)
    assert FLAGS in str(caught.value)
    dataset = load_cifar(table, tmp_path, allow_unverified=True)
    assert dataset.label == "CIFAR-10 (unverified, n = 36)"
    expected = np.concatenate([labels[first], labels[second]])
    np.testing.assert_array_equal(dataset.train.labels, expected[:36])
    np.testing.assert_array_equal(dataset.validation.labels, expected[36:])


def test_an_empty_folder_meets_what_was_looked_for_and_where_to_get_it(tmp_path):
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    for part in (
        str(tmp_path),
        "data_batch_1.bin, data_batch_2.bin",
        "data_batch_5, test_batch (",
        "cifar-10-batches-bin/",
        "cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_folder_that_does_not_exist_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"nowhere does not exist.*kriz/cifar\.html"):
        load(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_no_folder_at_all_is_refused(name):
    with pytest.raises(DataError, match=r"needs a folder.*does not download"):
        load(name)


@pytest.mark.parametrize(
    "path",
    [
        "../data_batch_1.bin",
        "/data_batch_1.bin",
        "cifar-10-batches-bin/../../data_batch_1.bin",
        "other/data_batch_1.bin",
        "data_batch_1.bin/x",
    ],
)
def test_an_archives_other_paths_are_passed_over(tmp_path, path):
    table, layout, files, *_ = small(CIFAR10, BINARY)
    folder = tmp_path / "folder"
    folder.mkdir()
    members = [(path, b"not to be read"), *files.items()]
    write_archive(folder / layout.archive, members)
    assert load_cifar(table, folder).verified
    # Nothing was written, inside the folder or out of it.
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", layout.archive]

    del files["data_batch_1.bin"]
    write_archive(folder / layout.archive, [(path, b"x"), *files.items()])
    with pytest.raises(DataError, match=r"but not data_batch_1\.bin"):
        load_cifar(table, folder)


def test_an_archives_links_are_not_followed(tmp_path):
    table, layout, files, *_ = small(CIFAR10, BINARY)
    with tarfile.open(tmp_path / layout.archive, "w:gz") as tar:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "data_batch_2.bin"
        tar.addfile(link)
        for name, data in files.items():
            if name != "data_batch_1.bin":
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    with pytest.raises(DataError, match=r"but not data_batch_1\.bin"):
        load_cifar(table, tmp_path)


def test_a_member_that_announces_too_much_is_not_read(tmp_path):
    info = tarfile.TarInfo("data_batch_1.bin")
    info.size = MAX_MEMBER_BYTES + 1
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(gzip.compress(info.tobuf() + bytes(1_024)))
    with pytest.raises(DataError, match="announces 200,000,001 bytes"):
        load("cifar10", archive)


def test_first_labels_are_compared_with_the_published_ones(tmp_path):
    table, _, files, *_ = small(CIFAR10, BINARY)
    write_folder(tmp_path, files)
    table = table._replace(first_labels=CIFAR10.first_labels)
    with pytest.raises(DataError, match=r"should begin \[6, 9, 9, 4, 1, 1, 2, 7, 8, 3"):
        load_cifar(table, tmp_path)
    load_cifar(table, tmp_path, allow_unverified=True)


@both_sets
def test_the_tables_name_every_class_and_every_digest_once(cifar):
    assert len(set(cifar.classes)) == (10 if cifar.name == "CIFAR-10" else 100)
    digests = [
        digest
        for version in cifar.versions
        for digest in (*version.train.values(), *version.test.values())
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(bytes.fromhex(digest)) == 16 for digest in digests)
