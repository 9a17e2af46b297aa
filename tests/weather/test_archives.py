"""An archive is never unpacked, and none takes all memory or all time."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from wdjax.data import DataError, fashion_mnist, idx, load, members
from wdjax.data.idx import read_payload
from wdjax.data.members import members_of_archive

NAME = "data_batch_1.bin"
LIMIT = 100_000


def packed(path, *infos, opener=gzip.open):
    """An archive of headers, each with as many zeros as it announces."""
    with opener(path, "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def header(name, size=10, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def read(path):
    return [m.name for m in members_of_archive(path, "cifar", [NAME])]


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(members, "MAX_ARCHIVE_BYTES", LIMIT)
    monkeypatch.setattr(idx, "MAX_BYTES", LIMIT)


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open, open])
def test_an_archive_is_read_however_it_is_compressed(tmp_path, opener):
    path = packed(tmp_path / "a", header(f"cifar/{NAME}"), opener=opener)
    assert read(path) == [NAME]


@pytest.mark.parametrize(
    "name", [f"../{NAME}", f"cifar/../{NAME}", f"/{NAME}", f"/tmp/{NAME}", f"x/{NAME}"]
)
def test_a_path_that_leads_elsewhere_is_another_file(tmp_path, name):
    path = packed(tmp_path / "a", header(name))
    assert read(path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(DataError, match="was not found in"):
        load("cifar10", path, allow_unverified=True)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"5"],
    ids=["symbolic link", "hard link", "pipe", "device", "folder"],
)
def test_a_link_or_a_device_is_no_file(tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3073))
    info = header(NAME, 0, type=kind, linkname=str(secret))
    path = packed(tmp_path / "a", info)
    assert read(path) == []
    with pytest.raises(DataError, match="was not found in"):
        load("cifar10", path, allow_unverified=True)


def test_a_bomb_in_a_member_that_nobody_wants_is_met(tmp_path, small_limit):
    path = packed(tmp_path / "a", header("other", 2 * LIMIT), header(NAME))
    assert path.stat().st_size < LIMIT / 10
    with pytest.raises(DataError, match=r"a unpacks to more than 100,000 bytes"):
        read(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_in_a_header_is_met(tmp_path, small_limit, kind):
    """`tarfile` reads such a header whole, whatever size it announces."""
    path = packed(tmp_path / "a", header("x", 2 * LIMIT, type=kind), header(NAME))
    with pytest.raises(DataError, match=r"a unpacks to more than 100,000 bytes"):
        read(path)


def test_a_member_that_announces_too_much_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_MEMBER_BYTES", LIMIT)
    path = packed(tmp_path / "a", header(NAME, LIMIT + 1))
    with pytest.raises(DataError, match="announces 100,001 bytes, more than"):
        read(path)


def test_a_compressed_bomb_is_not_decompressed(tmp_path, small_limit):
    path = tmp_path / f"{next(iter(fashion_mnist.SHA256))}.gz"
    path.write_bytes(gzip.compress(bytes(2 * LIMIT)))
    with pytest.raises(DataError, match="holds more than 100,000 bytes"):
        read_payload(path)
    for name in fashion_mnist.SHA256:
        (tmp_path / f"{name}.gz").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="holds more than 100,000 bytes"):
        load("fashion_mnist", tmp_path)


def test_published_sizes_are_below_the_limits():
    """Fashion-MNIST's training images; CIFAR-10's Python archive, unpacked."""
    assert idx.MAX_BYTES > 16 + 60_000 * 28 * 28
    assert members.MAX_MEMBER_BYTES > 50_000 * (3072 + 2) + 1_000_000
    assert members.MAX_ARCHIVE_BYTES > 60_000 * 3074 + 10 * 512 + 2_000_000
