"""The core needs four packages and little time; the wheel needs no checkout."""

import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import wdjax

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROUNDS = 7

# Whatever is not the core's, nor needed by what it needs.
BLOCKED = """
import importlib.abc, sys
EXTRAS = {extras!r}
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""
USE = """
import jax.numpy as jnp, optax, wdjax
optimizer = wdjax.adamw(1e-3, 0.1)
params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
updates, _ = optimizer.update(params, optimizer.init(params), params)
optax.apply_updates(params, updates)
assert wdjax.audit(optimizer, params)
from wdjax import cli
words = "convert 0.1 --from optax --to paper --learning-rate 1e-3"
assert cli.main(words.split()) == 0
assert wdjax.doctor(params, learning_rate=1e-3, weight_decay=0.1, steps=100)
"""


def name_of(requirement):
    """The package of a requirement, as an import would name it."""
    package = re.match(r"[\w.-]+", requirement)[0]
    return {"netcdf4": "netCDF4", "scikit-learn": "sklearn"}.get(package, package)


def extras():
    found = {
        name_of(requirement).partition("-checkpoint")[0]
        for requirements in PROJECT["optional-dependencies"].values()
        for requirement in requirements
    }
    return found - {"scipy"}  # JAX needs it itself


def run(*command, cwd=None, env=None):
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


def test_the_core_needs_four_packages():
    assert [name_of(r) for r in PROJECT["dependencies"]] == [
        "jax",
        "optax",
        "chex",
        "jaxtyping",
    ]


def test_the_core_works_where_no_extra_can_be_imported():
    assert {"flax", "xarray", "matplotlib", "orbax", "netCDF4", "filelock"} <= extras()
    run(sys.executable, "-c", BLOCKED.format(extras=extras()) + USE, cwd=ROOT)


def test_the_block_would_be_noticed():
    """So that the test above can fail."""
    code = BLOCKED.format(extras=extras()) + "import wdjax.sweep"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'pip install "wdjax[experiments]"' in done.stderr


def import_seconds(code):
    """Of CPU time in a new process, which a busy machine stretches less."""
    timed = (
        "import time; start = time.process_time(); "
        f"{code}; print(time.process_time() - start)"
    )
    return float(run(sys.executable, "-c", timed, cwd=ROOT))


@pytest.mark.slow  # fourteen new processes
def test_importing_takes_less_than_one_and_a_half_times_jax_and_optax():
    pairs = [
        (import_seconds("import wdjax"), import_seconds("import jax, optax"))
        for _ in range(ROUNDS)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert ours < 1.5 * theirs, (ours, theirs)


def test_the_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None
    assert cited[1] == wdjax.__version__


def test_the_citation_names_the_developers_and_the_licence():
    text = (ROOT / "CITATION.cff").read_text()
    assert "name: The wdjax developers" in text
    assert f"license: {PROJECT['license']}" in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as a packager builds it, by way of the source distribution."""
    pytest.importorskip("build", reason="needs `pip install build`")
    out = tmp_path_factory.mktemp("dist")
    # With the installed hatchling, where there is one: no network is needed then.
    here = ["--no-isolation"] if importable("hatchling") else []
    run(sys.executable, "-m", "build", *here, "--outdir", str(out), str(ROOT))
    assert [p.suffix for p in sorted(out.iterdir())] == [".whl", ".gz"]
    (found,) = out.glob("*.whl")
    return found


def importable(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


@pytest.mark.slow  # builds the distribution
def test_the_wheel_holds_the_library_its_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (n for n in names if n.endswith("/METADATA"))
        said = archive.read(metadata).decode()
    for name in ("__init__.py", "py.typed", "data/photos10/photos10.npz"):
        assert f"wdjax/{name}" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"wdjax", f"wdjax-{wdjax.__version__}.dist-info"}
    assert f"Version: {wdjax.__version__}\n" in said
    required = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", said, re.M)
    assert sorted(required) == ["chex", "jax", "jaxtyping", "optax"]


@pytest.mark.slow  # makes an environment and installs the core into it
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    install = [str(python), "-m", "pip", "install", "--quiet", str(wheel)]
    run(*install, cwd=tmp_path, env=clean)
    checks = USE + (
        "import importlib.resources as r\n"
        "from wdjax import data\n"
        "assert 'venv' in wdjax.__file__, wdjax.__file__\n"
        "assert r.files('wdjax').joinpath('py.typed').is_file()\n"
        "assert data.load('photos10').train.images.shape == (4000, 32, 32, 3)\n"
    )
    run(str(python), "-W", "error", "-c", checks, cwd=tmp_path, env=clean)
    command = str(tmp_path / "venv" / "bin" / "wdjax")
    assert "convert" in run(command, "--help", cwd=tmp_path, env=clean)
    version = run(command, "--version", cwd=tmp_path, env=clean)
    assert version.strip() == wdjax.__version__


@pytest.mark.slow  # makes an environment and installs the extra into it
def test_the_notebook_needs_the_wheel_and_its_extra_alone(wheel, tmp_path):
    notebook = json.loads((ROOT / "docs" / "first_study.ipynb").read_text())
    cells = [
        "".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"
    ]
    assert len(cells) > 5
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    install = [str(python), "-m", "pip", "install", "--quiet"]
    run(*install, f"{wheel}[experiments]", cwd=tmp_path, env=clean)
    script = "\n".join([*cells, "print(result.validation_error.shape)"])
    said = run(
        str(python), "-c", script, cwd=tmp_path, env=clean | {"MPLBACKEND": "Agg"}
    )
    assert said.strip().endswith("(3, 5, 4)")
    assert (tmp_path / "first_study.nc").stat().st_size > 1_000
