"""Names of any script and of any length: files come back, or a sentence does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.harness.findings import around, judged
from experiments.harness.reports import Report, load_report, save_report
from wdjax import sweep
from wdjax.data import DataError, load
from wdjax.stats import Interval
from wdjax.sweep.store import StoreError, open_store

ROOT = Path(__file__).parents[2]
NAMES = [
    "Größe λ = 0.1",
    "実験 結果",
    "e\u0301 🙂",
    "new\nline",
    "-rf *",
    "a.b.nc.json",
]
TOO_LONG = "n" * 300
"""Longer than any file system takes for one name."""


def result():
    return xr.Dataset({"loss": ("decay", np.arange(3.0))})


def report():
    finding = judged("λ", around(1, 0.1), Interval(1.02, 1.01, 1.03), measured="1.02")
    return Report("some", "A.", "full", "run", "β", {}, "abc", 61.0, [finding])


def deep(folder, length=3_000):
    """A folder whose path is long, and whose every part is allowed."""
    while len(str(folder)) < length:
        folder = folder / ("d" * 200)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_result_and_a_report_come_back_from_any_name(tmp_path, name):
    folder = tmp_path / name
    sweep.save(result(), folder / f"{name}.nc")
    xr.testing.assert_identical(sweep.load(folder / f"{name}.nc"), result())
    assert load_report(save_report(report(), folder)) == report()
    assert {p.name for p in folder.iterdir()} == {f"{name}.nc", "some.json"}


@pytest.mark.parametrize("name", NAMES)
def test_a_study_lies_under_any_name(tmp_path, name):
    for resume in (False, True):
        identity = {"name": name}
        open_store(tmp_path / name, identity, resume=resume, every=1.0).close()


def test_a_long_path_is_a_path(tmp_path):
    folder = deep(tmp_path)
    sweep.save(result(), folder / "result.nc")
    xr.testing.assert_identical(sweep.load(folder / "result.nc"), result())
    assert load_report(save_report(report(), folder)) == report()
    open_store(folder / "study", {}, resume=False, every=1.0).close()


def test_a_name_of_the_longest_length_is_a_name(tmp_path):
    """What is written beside it first has a name of its own, not a longer one."""
    path = tmp_path / ("n" * (os.pathconf(tmp_path, "PC_NAME_MAX") - 3) + ".nc")
    sweep.save(result(), path)
    xr.testing.assert_identical(sweep.load(path), result())


@pytest.mark.parametrize("name", [TOO_LONG, "d/" * 3_000 + "x", "zero\0byte"])
def test_an_impossible_name_gets_a_sentence(tmp_path, name):
    place = tmp_path / name
    with pytest.raises(ValueError, match="cannot be written"):
        sweep.save(result(), place / "result.nc")
    with pytest.raises(ValueError, match="There is no result at"):
        sweep.load(place)
    with pytest.raises(ValueError, match="cannot be written"):
        save_report(report(), place)
    with pytest.raises(ValueError, match="is not a report"):
        load_report(place)
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(place, {}, resume=False, every=1.0)
    for data in ("cifar10", "cifar100", "fashion_mnist"):
        with pytest.raises(DataError, match="was not found"):
            load(data, place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verdicts", TOO_LONG), "There are no results in"),
        (("run", "propositions", "--smoke", "--out", TOO_LONG), "cannot be written"),
        (
            ("run", "l2_does_not_help_adam", "--data=cifar10", "--data-dir", TOO_LONG),
            "was not found",
        ),
    ],
)
@pytest.mark.slow  # a process for each
def test_the_command_line_says_so_with_exit_code_2(tmp_path, arguments, said):
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr[-2_000:]
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow  # an experiment in a process
def test_where_the_locale_is_ascii_a_run_ends_with_its_summary(tmp_path):
    out = tmp_path / "結果 λ"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            *["experiments", "run", "propositions", "--smoke", "--out"],
            out,
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "propositions" in (out / "summary.md").read_text(encoding="utf-8")
