"""No file, however it was mangled, gets anything but the documented error.

Each reader meets mutated files in a process of its own, with little memory and little
time for each, so that a crash, a bomb and an endless loop are failures, too.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.weather.fuzz import READERS

ROOT = Path(__file__).parents[2]
QUICK, MANY = 500, 11_000


def counts(reader, count, seed):
    done = subprocess.run(
        [sys.executable, "-m", "tests.weather.fuzz", reader, str(count), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout)


def assert_enough(found, count):
    """Half of them must get beyond the header, or little was tried."""
    assert found["read"] == count
    assert found["headers"] >= count / 2
    assert found["headers"] >= found["loaded"]


@pytest.mark.parametrize("reader", READERS)
def test_a_mangled_file_gets_the_documented_error(reader):
    assert_enough(counts(reader, QUICK, seed=1), QUICK)


@pytest.mark.slow  # 110,000 files, some minutes
@pytest.mark.parametrize("reader", READERS)
def test_many_mangled_files_get_the_documented_error(reader):
    assert MANY * len(READERS) >= 100_000
    assert_enough(counts(reader, MANY, seed=0), MANY)
