"""Processes that are killed, and processes that share a run: the bits are the same."""

import os
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from wdjax import sweep

CHILD = Path(__file__).with_name("child.py")
TIMEOUT = 240


def start(folder, result, **environment):
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(result)],
        env=os.environ | environment,
        cwd=CHILD.parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    finish(start(folder / "study", folder / "result.nc"))
    return sweep.load(folder / "result.nc")


def assert_same_bits(a, b):
    assert set(a) == set(b) == {"loss", "norm"}
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def killed_over_and_over(folder, kills, seed):
    """Start, kill after a few segments, go on: how many kills hit a write."""
    rng, inside = random.Random(seed), 0
    for _ in range(kills):
        process = start(folder / "study", folder / "result.nc")
        assert process.stdout is not None
        for _ in range(rng.randint(1, 3)):
            process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.05))
        process.kill()
        process.communicate()
        writing = [
            *folder.glob("study/flight_*/*tmp*"),
            *folder.glob("study/.*.partial"),
        ]
        inside += any(path.stat().st_mtime > time.time() - 1 for path in writing)
    finish(start(folder / "study", folder / "result.nc"))
    return inside


def test_killed_at_twenty_random_moments_it_ends_with_the_same_bits(tmp_path, whole):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        inside = list(pool.map(killed_over_and_over, folders, (10, 10), (1, 2)))
    assert sum(inside) >= 5
    for folder in folders:
        assert_same_bits(sweep.load(folder / "result.nc"), whole)


def start_two(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    together = {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
    }
    results = [tmp_path / f"result_{i}.nc" for i in range(2)]
    processes = [
        start(tmp_path / "study", result, JAX_PROCESS_ID=str(i), **together)
        for i, result in enumerate(results)
    ]
    return processes, results


def test_two_processes_end_with_the_bits_of_one(tmp_path, whole):
    processes, results = start_two(tmp_path)
    outputs = [finish(process) for process in processes]
    for result in results:
        assert_same_bits(sweep.load(result), whole)
    segments = [len(output.splitlines()) - 1 for output in outputs]
    assert segments == [24, 12]  # three chunks of twelve segments: two to one


def test_two_processes_that_were_killed_go_on_where_they_were(tmp_path, whole):
    processes, _ = start_two(tmp_path)
    for process in processes:
        for _ in range(6):
            process.stdout.readline()
    for process in processes:
        process.kill()
        process.communicate()
    processes, results = start_two(tmp_path)
    outputs = [finish(process) for process in processes]
    for result in results:
        assert_same_bits(sweep.load(result), whole)
    segments = [len(output.splitlines()) - 1 for output in outputs]
    assert segments[0] < 24 - 3
    assert segments[1] < 12 - 3
