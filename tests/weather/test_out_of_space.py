"""Without room on the disk or in memory a run ends with a sentence, and keeps all."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments.harness import cli
from wdjax import sweep
from wdjax.sweep import files, memory

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


@pytest.mark.parametrize("number", files.NO_ROOM)
def test_the_command_line_says_what_to_do_of_a_full_disk(monkeypatch, capsys, number):
    full = OSError(number, os.strerror(number), "summary.md")
    assert says(monkeypatch, capsys, full) == (
        1,
        (
            f"error: there is no room for summary.md ({os.strerror(number)}); what was "
            "finished is saved: make room, and go on with --resume\n"
        ),
    )


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
    assert "sweep.Layout(1, 1, 2)" in str(caught.value)
    small = sweep.Layout(1, 1, 2)
    with pytest.raises(MemoryError, match="fewer cells"), memory.within(small):
        np.ones((10**9, 10**9))


def test_other_errors_of_a_study_pass_as_they_are():
    with pytest.raises(KeyError), memory.within(sweep.Layout(1, 1, 1)):
        raise KeyError("loss")
