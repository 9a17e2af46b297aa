"""Install wdjax into throw-away environments and run a few tests in each.

For every interpreter that is named, the newest versions of all that wdjax and its
extra `experiments` need; for Python 3.11 the lowest, too, which pyproject.toml names.
Prints a table; the exit code is 1 if a row failed. Needs Python 3.11 or newer.

Examples:
  scripts/install_matrix
  scripts/install_matrix python3.13 --tests tests/test_lecture.py
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13")
TOOLS = ("beartype", "hypothesis", "pytest", "pytest-xdist")
TESTS = ("tests/decay", "tests/optimizers", "tests/test_lecture.py")
EXPERIMENT = ("-m", "experiments", "run", "propositions", "--smoke", "--out")
SHOWN = ("jax", "optax", "numpy", "flax", "xarray")


class Row(NamedTuple):
    """One environment: an interpreter, and versions that pip is told."""

    python: str
    name: str
    pins: tuple[str, ...]


def lowest() -> tuple[str, ...]:
    """What the core and `experiments` need, at the lower bounds of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["experiments"]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", each) for each in wanted]
    if None in bounds:
        raise SystemExit("A dependency in pyproject.toml is not of the form name>=x.y.")
    return tuple(f"{bound[1]}=={bound[2]}" for bound in bounds if bound)


def version_of(python: str) -> tuple[int, ...]:
    """Of an interpreter, as in (3, 11)."""
    code = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    )
    return tuple(map(int, said.stdout.split()))


def step(command: list[str], log: list[str]) -> bool:
    """Run a command; keep what it said if it failed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        log.append(f"$ {' '.join(command)}\n{done.stdout[-4000:]}")
    return done.returncode == 0


def tried(row: Row, tests: list[str]) -> tuple[str, str, list[str]]:
    """The result of a row, the versions that it had, and what its failures said."""
    log: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = str(folder / "bin" / "python")
        quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps = {
            "no environment": [row.python, "-m", "venv", name],
            "not installed": [python, *quiet, ".[experiments]", *TOOLS, *row.pins],
            "tests fail": [python, "-m", "pytest", "-q", "-x", *tests],
            "experiment fails": [python, *EXPERIMENT, str(folder / "results")],
        }
        failed = next((n for n, each in steps.items() if not step(each, log)), None)
        return failed or "passes", versions(python), log


def versions(python: str) -> str:
    """Of the packages that matter most."""
    code = (
        "import importlib.metadata as m\n"
        f"print(*(f'{{n}} {{m.version(n)}}' for n in {SHOWN!r}), sep=', ')"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "—"


def main() -> int:
    """Try every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "pythons",
        nargs="*",
        default=PYTHONS,
        help="interpreters; python3.11 to 3.13 if none is named",
    )
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, help="what pytest runs in each"
    )
    arguments = parser.parse_args()
    missing = [python for python in arguments.pythons if not shutil.which(python)]
    if missing:
        parser.exit(2, f"There is no {', '.join(missing)} on PATH; name others.\n")
    rows = [
        Row(python, name, pins)
        for python in arguments.pythons
        for name, pins in (("lowest", lowest()), ("newest", ()))
        if name == "newest" or version_of(python) == (3, 11)
    ]
    print("| Python | versions | of which | result | seconds |\n|---|---|---|---|---|")
    failed = False
    for row in rows:
        start = time.monotonic()
        result, found, log = tried(row, list(arguments.tests))
        python = ".".join(map(str, version_of(row.python)))
        seconds = time.monotonic() - start
        print(f"| {python} | {row.name} | {found} | {result} | {seconds:.0f} |")
        print(*log, sep="\n", file=sys.stderr)
        sys.stdout.flush()
        failed |= bool(log)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
