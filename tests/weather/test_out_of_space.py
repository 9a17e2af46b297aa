"""Without room on the disk or in memory a run ends with a sentence, and keeps all."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments.harness import cli
from wdjax import sweep
from wdjax.sweep import files, memory
from wdjax.sweep.layout import check_layout

ROOT = Path(__file__).parents[2]

# The kernel lets no file of this process grow beyond: a write fails as on a full disk.
LIMITED = """
import resource, sys
import numpy as np, xarray as xr
from pathlib import Path
from wdjax import sweep
from wdjax.sweep import checkpoints, files
from wdjax.sweep.store import open_store
folder = Path(sys.argv[1])
many = np.random.default_rng(0).normal(size=100_000)
store = open_store(folder / "study", {}, resume=False, every=1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for write in (
    lambda: sweep.save(xr.Dataset({"loss": ("x", many)}), folder / "result.nc"),
    lambda: store.finish(0, {"loss": many}),
):
    try:
        write()
    except ValueError as error:
        print(str(error).replace("\\n", " "))
store.close()
"""


def child(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_that_finds_no_room_leaves_the_older_one(tmp_path):
    older = xr.Dataset({"loss": ("x", np.arange(3.0))})
    sweep.save(older, tmp_path / "result.nc")
    done = child(LIMITED, tmp_path)
    assert done.returncode == 0, done.stderr[-2_000:]
    result, chunk = done.stdout.splitlines()
    assert re.search(r"result\.nc cannot be written \(.*GB left\); make room", result)
    assert re.search(r"study cannot be written \(File too large.*--resume", chunk)
    xr.testing.assert_identical(sweep.load(tmp_path / "result.nc"), older)
    left = {p.name for p in tmp_path.rglob("*")}
    assert left <= {"result.nc", "study", "study.json", ".lock_00000"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_command_line_says_what_to_do_of_a_full_disk(monkeypatch, capsys, number):
    full = OSError(number, os.strerror(number), "summary.md")
    assert says(monkeypatch, capsys, full) == (
        1,
        (
            f"error: there is no room for summary.md ({os.strerror(number)}); what was "
            "finished is saved: make room, and go on with --resume\n"
        ),
    )
    nameless = OSError(number, os.strerror(number))
    said = says(monkeypatch, capsys, nameless)[1]
    assert said.startswith("error: there is no room for what is written (")


def test_the_command_line_says_what_to_do_without_memory(monkeypatch, capsys):
    lacking = MemoryError("Unable to allocate 300 GiB")
    code, said = says(monkeypatch, capsys, lacking)
    assert (code, said) == (1, "error: out of memory: Unable to allocate 300 GiB\n")
    exhausted = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    assert says(monkeypatch, capsys, exhausted)[0] == 1


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("INTERNAL: a fault of ours"),
        OSError(errno.EIO, "Input/output error"),
        RuntimeError("a fault of ours"),
    ],
)
def test_other_errors_keep_their_traceback(monkeypatch, capsys, error):
    with pytest.raises(type(error)):
        says(monkeypatch, capsys, error)


Jax = jax.errors.JaxRuntimeError


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (MemoryError(), True),
        (Jax("RESOURCE_EXHAUSTED: Failed to allocate request for 2.00GiB"), True),
        (Jax("INTERNAL: Error dispatching computation: Out of memory"), True),
        (Jax("INTERNAL: a fault of ours"), False),
        (ValueError("RESOURCE_EXHAUSTED: the user's patience"), False),
    ],
)
def test_memory_ran_out_where_python_or_xla_says_so(error, exhausted):
    assert memory.is_exhausted(error) == exhausted


def test_a_reason_is_a_line_and_the_room_that_is_left(tmp_path, monkeypatch):
    usage = SimpleNamespace(total=9e9, used=6.5e9, free=2.5e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    path = tmp_path / "result.nc"
    for error, line in (
        (OSError(errno.ENOSPC, "No space left", "result.nc"), "No space left"),
        (RuntimeError("NetCDF: HDF error\nin some file"), "NetCDF: HDF error"),
        (RuntimeError(), "RuntimeError()"),
    ):
        assert files.reason(error, path) == f"{line}; its disk has 2.5 GB left"


def test_a_reason_does_without_a_disk_that_is_gone(tmp_path):
    error = OSError(errno.EIO, "Input/output error")
    assert files.reason(error, tmp_path / "gone" / "a") == "Input/output error"


def says(monkeypatch, capsys, error):
    """The exit code and the last words of a command that ends with an error."""

    def ending(*args, **kwargs):
        raise error

    monkeypatch.setattr(cli.words, "run", ending)
    monkeypatch.setattr(jax.config, "update", lambda *args: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_a_study_that_does_not_fit_says_which_layout_it_had(tmp_path):
    def begin(data, hypers, key):
        return jax.random.normal(key, (10**6, 10**7))  # 80 TB

    def advance(data, hypers, key, state, segment):
        return state * 2, {"loss": state[0, 0]}

    def finish(data, hypers, key, state):
        return {"end": state[0, 0]}

    grid = sweep.grid(seed=[0], decay=[1.0, 2.0, 3.0, 4.0])
    huge = sweep.Training(begin, advance, finish, segments=2)
    options = {"layout": sweep.Layout(1, 2, 4), "folder": tmp_path}
    with pytest.raises(MemoryError, match="does not fit into memory") as caught:
        sweep.run(huge, grid, jnp.ones(()), **options)
    assert "It trained 2 cells at once on each of 1 devices" in str(caught.value)
    assert "with 4 in flight" in str(caught.value)
    assert "sweep.Layout(1, 1, 2)" in str(caught.value)
    small, said = sweep.Layout(1, 1, 2), r"\(Unable to allocate .* fewer cells"
    with pytest.raises(MemoryError, match=said), memory.within(small):
        np.ones((10**9, 10**9))


@pytest.mark.parametrize("given", [(1, 1, 1), (2, 1, 2), (2, 3, 6), (2, 8, 64)])
def test_the_layout_that_it_offers_is_one_and_is_no_larger(given):
    with pytest.raises(MemoryError) as caught, memory.within(sweep.Layout(*given)):
        raise MemoryError
    offered = re.search(r"sweep\.Layout\((.*?)\)", str(caught.value))
    smaller = sweep.Layout(*map(int, offered[1].split(", ")))
    check_layout(smaller)
    assert all(n <= m for n, m in zip(smaller, given, strict=True))


def test_other_errors_of_a_study_pass_as_they_are():
    with pytest.raises(KeyError), memory.within(sweep.Layout(1, 1, 1)):
        raise KeyError("loss")
