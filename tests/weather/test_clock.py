"""A clock that jumps changes the dates that are written, and nothing else."""

import ast
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.harness.progress import CellBar
from experiments.harness.watch import json_lines
from tests.weather.clock_child import jumping as jumping_clock
from wdjax.sweep import Progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jumping(monkeypatch):
    """The clock that people set, set anew at every look."""
    monkeypatch.setattr(time, "time", jumping_clock())


@pytest.mark.slow  # a study in a process of its own
def test_results_and_progress_are_those_of_a_steady_clock(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.weather.clock_child", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    late = int(done.stdout.split()[-3])
    assert late > 0  # or the clock was of no concern


def test_the_bar_shows_the_time_that_passed(monkeypatch, jumping):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    with CellBar("grid", lambda text: None) as bar:
        for done in (1, 2, 3):
            bar(Progress(done, 4, 30.0 * done, 0, done / 4, 0.5))
    lines = shown.getvalue().replace("\n", "\r").split("\r")
    for text in (" 25%", "00:30<01:30", " 75%", "01:30<00:30, cells=3/4"):
        assert any(text in line for line in lines), lines


def test_a_log_goes_on(tmp_path, jumping):
    watch = json_lines(tmp_path / "log.jsonl", "some")
    for done in range(6):
        watch("grid", Progress(done, 6, 1.0 * done, 0, done / 6, 0.5))
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["cells_done"] for line in lines] == [*range(6)]


def test_only_the_log_asks_for_the_time_that_people_set():
    """Whatever is measured is measured by a clock that only goes forward."""
    asking = set()
    for room in ("wdjax", "experiments"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            named = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Call)}
            if any(name.startswith("time.time(") for name in named):
                asking.add(path.name)
            assert "from time import time" not in ast.unparse(tree)
    assert asking == {"watch.py"}
