"""What the README shows runs, and what it reports was measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from experiments import learning_rate_and_decay as study
from experiments.harness import catalogue, summary
from wdjax import plots, sweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(
    r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", README, flags=re.DOTALL
)


def test_the_generated_parts_are_those_of_the_saved_results():
    assert summary.with_parts(README, summary.readme_parts()) == README


def test_every_experiment_has_a_saved_outcome():
    saved = {report.name for report in summary.reports(summary.OUTCOMES)}
    assert saved == set(catalogue.names())


@pytest.fixture(scope="module")
def saved():
    reports = {report.name: report for report in summary.reports(summary.OUTCOMES)}
    return reports["learning_rate_and_decay"]


@pytest.fixture(scope="module")
def panels():
    files = {n: summary.OUTCOMES / study.file_name(n) for n in study.METHODS}
    return {name: sweep.load(path) for name, path in files.items()}


def test_the_saved_verdicts_follow_from_the_saved_data(saved, panels):
    """As they are shown: the last bits of a fit are those of a linear algebra."""

    def shown(findings):
        return [(f.claim, f.measured, f.verdict, f.conditions) for f in findings]

    assert shown(study.judge(panels)) == shown(saved.findings)


def test_the_saved_results_are_of_a_full_run_on_clean_code(saved):
    assert saved.mode == "full"
    assert re.fullmatch(r"[0-9a-f]{12}", saved.provenance["commit"])


def test_the_figure_shows_the_saved_data(panels):
    with plots.style.context():
        figure = study.figure(panels)
        figure.draw_without_rendering()
    meshes = [
        c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh)
    ]
    drawn = np.concatenate([np.ravel(mesh.get_array()) for mesh in meshes])
    errors = 100 * panels["SGDW"].validation_error.mean("seed").values
    nearest = np.abs(errors.ravel()[:, None] - drawn[None, :]).min(axis=1)
    assert nearest.max() < 1e-4  # the means are float32
    assert (summary.OUTCOMES / "learning_rate_and_decay.png").stat().st_size > 1e5


RUN_ALL = """
import contextlib, io, json, sys, wdjax
outputs, names = [], {"wdjax": wdjax}
for number, code in enumerate(json.load(sys.stdin)):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, f"example {number}", "exec"), names)
    outputs.append(printed.getvalue())
json.dump(outputs, sys.stdout)
"""


@pytest.fixture(scope="module")
def outputs():
    """What each example prints: in order, as a user would, in float32, in a process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_ALL],
        input=json.dumps([code for code, _ in EXAMPLES]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_example_runs_and_prints_what_stands_below_it(outputs):
    shown = [
        (text, output)
        for (_, text), output in zip(EXAMPLES, outputs, strict=True)
        if text
    ]
    assert len(shown) >= 3
    for text, output in shown:
        assert output == text


def test_the_symbol_table_covers_the_arguments():
    for name in ("learning_rate", "l2", "weight_decay", "decay_rate"):
        assert f"`{name}`" in README.split("## Symbols")[1]


CORE = """
import sys
for name in ("flax", "xarray", "matplotlib", "tyro", "tqdm", "sklearn", "orbax"):
    sys.modules[name] = None
import wdjax, wdjax.testing, wdjax.theory, wdjax.data
wdjax.testing.assert_equivalent(wdjax.sgd_l2(0.1, 0.01), wdjax.sgdw(0.1, 0.01))
wdjax.data.load("photos10")
for room in ("models", "sweep", "plots"):
    try:
        getattr(wdjax, room)
    except ImportError as error:
        assert 'pip install "wdjax[experiments]"' in str(error), error
    else:
        raise AssertionError(room)
"""


def test_the_core_needs_no_extra_and_the_rooms_that_do_say_so():
    done = subprocess.run(
        [sys.executable, "-c", CORE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
