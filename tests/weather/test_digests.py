"""What is read is what was written: one changed byte, and a file is refused."""

import hashlib
import io
import json

import numpy as np
import pytest
import xarray as xr

from experiments.harness.findings import around, judged
from experiments.harness.reports import Report, load_report, save_report
from wdjax import sweep
from wdjax.stats import Interval
from wdjax.sweep import checkpoints, files
from wdjax.sweep.store import StoreError, open_store

EVERY_BYTE = 2_000
"""Files up to this size are changed at every byte, larger ones at as many places."""


def result():
    return xr.Dataset(
        {"loss": (("seed", "decay"), np.arange(6.0).reshape(2, 3))},
        coords={"seed": [0, 1], "decay": [0.0, 0.1, 1.0]},
        attrs={"device": "2 × cpu"},
    )


def report():
    finding = judged("a", around(1, 0.1), Interval(1.02, 1.01, 1.03), measured="1.02")
    return Report("some", "A.", "full", "run", "β", {}, "abc", 61.0, [finding])


def arrays():
    return {"loss": np.arange(6.0), "flag": np.array([True]), "none": np.zeros((0, 2))}


def save_result(path):
    sweep.save(result(), path)


def save_chunk(path):
    checkpoints.write_arrays(path, arrays())


def save_json(path):
    written = save_report(report(), path.parent)
    assert written == path


KINDS = {
    "result.nc": (save_result, sweep.load),
    "chunk.npz": (save_chunk, checkpoints.read_arrays),
    "some.json": (save_json, load_report),
}
each_kind = pytest.mark.parametrize(
    ("name", "save", "load"), [(n, *pair) for n, pair in KINDS.items()], ids=KINDS
)


def places(size):
    """All bytes of a small file; of a large one the ends and some between."""
    if size <= EVERY_BYTE:
        return range(size)
    between = np.random.default_rng(0).integers(size, size=EVERY_BYTE - 400)
    return sorted({*range(200), *range(size - 200, size), *between.tolist()})


@each_kind
def test_one_changed_byte_anywhere_is_refused(tmp_path, name, save, load):
    path = tmp_path / name
    save(path)
    load(path)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in places(len(content)):
        altered = bytearray(content)
        altered[place] ^= int(rng.integers(1, 256))
        path.write_bytes(altered)
        with pytest.raises(ValueError, match=r"digest|written|UTF-8|utf-8|JSON"):
            load(path)


@each_kind
def test_a_file_cut_off_or_longer_is_refused(tmp_path, name, save, load):
    path = tmp_path / name
    save(path)
    content = path.read_bytes()
    cuts = [0, 1, files.SEAL_BYTES - 1, files.SEAL_BYTES, len(content) // 2]
    for altered in (
        *(content[:cut] for cut in cuts),
        content[:-1],
        content + b"\n",
        content[1:],
        content + content,
    ):
        path.write_bytes(altered)
        with pytest.raises(ValueError, match=r"digest|written|JSON"):
            load(path)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_a_report_with_other_line_ends_is_refused(tmp_path, end):
    path = save_report(report(), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", end))
    with pytest.raises(ValueError, match="not the one that was written"):
        load_report(path)


def test_what_was_not_altered_comes_back(tmp_path):
    save_result(tmp_path / "result.nc")
    xr.testing.assert_identical(sweep.load(tmp_path / "result.nc"), result())
    assert load_report(save_report(report(), tmp_path)) == report()
    save_chunk(tmp_path / "chunk.npz")
    read = checkpoints.read_arrays(tmp_path / "chunk.npz")
    for name, array in arrays().items():
        np.testing.assert_array_equal(read[name], array, strict=True)


def test_the_digest_is_sha256_of_all_that_stands_before_it(tmp_path):
    path = tmp_path / "result.nc"
    save_result(path)
    content, mark, digest = path.read_bytes().rpartition(b"\nwdjax-sha256 ")
    assert mark
    assert digest == hashlib.sha256(content).hexdigest().encode() + b"\n"
    text = save_report(report(), tmp_path).read_text(encoding="utf-8")
    plain = json.loads(text)
    digest = plain.pop("digest")
    without = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    assert digest == hashlib.sha256(without.encode()).hexdigest()


def test_other_tools_open_a_sealed_file(tmp_path):
    save_result(tmp_path / "result.nc")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "result.nc"), result())
    save_chunk(tmp_path / "chunk.npz")
    with np.load(tmp_path / "chunk.npz", allow_pickle=False) as content:
        assert "_loss" in content.files


def test_a_file_without_a_digest_is_refused(tmp_path):
    result().to_netcdf(tmp_path / "result.nc", engine="netcdf4")
    with pytest.raises(ValueError, match=r"result\.nc cannot .*it has no digest"):
        sweep.load(tmp_path / "result.nc")
    path = save_report(report(), tmp_path)
    plain = json.loads(path.read_text(encoding="utf-8"))
    del plain["digest"]
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(ValueError, match=r"some\.json is not a report .*'digest'"):
        load_report(path)


def test_a_seal_says_nothing_of_another_content():
    """Of a longer content that holds the seal of a shorter one."""
    file = io.BytesIO(b"content" + files.MARK + b"0" * 64 + b"\n")
    with pytest.raises(files.AlteredError, match="not those that were written"):
        files.check_seal(file)


def test_one_changed_byte_of_what_a_study_is_is_refused(tmp_path):
    open_store(tmp_path, {"decay": [0.1]}, resume=False, every=1.0).close()
    path = tmp_path / "study.json"
    content = path.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(StoreError, match=r"study\.json cannot be read"):
            open_store(tmp_path, {"decay": [0.1]}, resume=True, every=1.0)


def test_a_path_that_is_no_utf_8_is_written_down(tmp_path):
    odd = {"folder": "caf\udce9", "decay": float("inf")}
    for resume in (False, True):
        open_store(tmp_path, odd, resume=resume, every=1.0).close()


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1, 5 * 2**19])
def test_a_content_longer_than_one_block_is_sealed_as_a_whole(tmp_path, size):
    path = tmp_path / "long"
    path.write_bytes(bytes(size))
    files.seal(path)
    whole = path.read_bytes()
    files.check_seal(io.BytesIO(whole))
    for place in (0, size - 1):
        altered = bytearray(whole)
        altered[place] ^= 1
        with pytest.raises(files.AlteredError, match="not those that were written"):
            files.check_seal(io.BytesIO(altered))


@pytest.mark.parametrize("text", ["5", '["digest"]', '"digest"', "null"])
def test_json_that_is_no_object_was_not_sealed_here(text):
    with pytest.raises(files.AlteredError, match="it has no 'digest'"):
        files.unsealed_json(text)


def test_json_too_deep_to_be_read_was_not_sealed_here():
    nested = "[" * 100_000 + "]" * 100_000
    with pytest.raises(files.AlteredError, match="it is no JSON"):
        files.unsealed_json(f'{{"a": {nested}, "digest": ""}}')


def test_json_too_deep_to_be_written_was_not_sealed_here(monkeypatch):
    """Which depth that is differs from Python to Python."""

    def too_deep(content):
        raise RecursionError

    monkeypatch.setattr(files, "_json", too_deep)
    with pytest.raises(files.AlteredError, match="not the one that was written"):
        files.unsealed_json('{"digest": ""}')
