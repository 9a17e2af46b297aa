"""Time what surrounds a study's steps: telemetry, checkpoints, many cells, resuming.

MLP 3072-128-128-10, batch 128, AdamW, float32, random data. Ratios are medians over
rounds in which the contenders take turns; all in one process but where noted.
"""

import argparse
import itertools
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH, EXAMPLES, CELLS, RECORDS = 128, 2000, 16, 10


class Stopped(BaseException):
    """Ends a run as a kill would, after its first checkpoint."""


def setup(steps: int, cells: int) -> tuple[Any, Any, Any]:
    """A training, a grid and its data."""
    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    import jax.numpy as jnp
    import numpy as np

    import wdjax
    from wdjax import models, sweep

    network = models.mlp((128, 128))
    train = sweep.make_train(
        network.init,
        network.apply,
        lambda h: wdjax.adamw(h["learning_rate"], h["decay"]),
        steps=steps,
        batch_size=BATCH,
        records=RECORDS,
    )
    rng = np.random.default_rng(0)

    def examples(n: int) -> Any:
        images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, n).astype(np.int32)
        return sweep.Examples(jnp.asarray(images), jnp.asarray(labels))

    splits = (examples(EXAMPLES), examples(1), examples(1))
    data = sweep.Arrays(*splits, mean=jnp.full(3, 127.0), deviation=jnp.full(3, 64.0))
    decays = np.geomspace(1e-4, 1, cells)
    return train, sweep.grid([0], learning_rate=[1e-3], decay=decays), data


def overheads(rounds: int, folder: Path) -> None:
    """Telemetry, and checkpoints: as often as by default, and after every segment."""
    from experiments.harness import progress, watch
    from wdjax import sweep

    train, grid, data = setup(steps=500, cells=CELLS)
    log = watch.json_lines(folder / "log.jsonl", "bench")
    numbers = itertools.count()

    def watched(bar: Any) -> Any:
        def both(news: Any) -> None:
            bar(news)
            log("bench", news)

        return both

    def run(kind: str) -> float:
        options: dict[str, Any] = {}
        if kind.startswith("checkpoints"):
            options["folder"] = folder / f"study_{next(numbers)}"
        if kind.endswith("segment"):
            options["every"] = 0.0
        with progress.CellBar("bench", lambda text: None) as bar:
            if kind == "telemetry":
                options["progress"] = watched(bar)
            return sweep.run(train, grid, data, **options).attrs["run_seconds"]

    kinds = ("plain", "telemetry", "checkpoints", "checkpoints, every segment")
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            times[kind].append(run(kind))
    for kind in kinds:
        pairs = zip(times[kind], times["plain"], strict=True)
        shown = statistics.median(a / b for a, b in pairs)
        print(f"{kind:32}{statistics.median(times[kind]):8.2f} s{shown:8.3f}")


def many_cells(rounds: int) -> None:
    """A cell's time among 4 and among 256, and the memory of both."""
    from wdjax import sweep
    from wdjax.sweep.measure import bytes_per_device

    times: dict[int, list[float]] = {4: [], 256: []}
    memory, layout = {}, sweep.default_layout(4)
    runs = {cells: setup(steps=50, cells=cells) for cells in times}
    for cells, (train, grid, data) in runs.items():
        study = sweep.prepare(train, grid, data, layout)
        memory[cells] = bytes_per_device(study) / 2**20
    for _ in range(rounds):
        for cells, (train, grid, data) in runs.items():
            result = sweep.run(train, grid, data, layout=layout)
            times[cells].append(1e3 * result.attrs["run_seconds"] / cells / 50)
    shown = statistics.median(b / a for a, b in zip(times[4], times[256], strict=True))
    for cells, ms in times.items():
        print(
            f"{cells:4} cells{'':22}{statistics.median(ms):8.3f} ms a cell-step, "
            f"{memory[cells]:.0f} MiB a device"
        )
    print(f"256 cells to 4, a cell{'':20}{shown:8.3f}")


def memory() -> None:
    """What the compiler asks for, over what the cells in flight must hold."""
    import jax

    from wdjax import sweep
    from wdjax.sweep.measure import bytes_per_device

    train, grid, data = setup(steps=50, cells=CELLS)
    layout = sweep.default_layout(CELLS)
    study = sweep.prepare(train, grid, data, layout)
    asked = bytes_per_device(study)
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(study.begin(0).states))
    parameters = 4 * (3072 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10)
    # An input, two hidden layers before and after ReLU, logits and probabilities.
    activations = 4 * BATCH * (3072 + 4 * 128 + 2 * 10)
    once = sum(leaf.nbytes for leaf in jax.tree.leaves(data))
    needed = state // layout.devices + parameters + activations + once
    print(
        f"{CELLS} cells in flight{'':14}{asked / 2**20:8.1f} MiB a device for "
        f"{needed / 2**20:.1f}: {asked / needed:.2f} x (bound 1.3)"
    )


def resuming(folder: Path) -> None:
    """From the start of a process to its first new segment, with a warm cache."""
    for kind in ("start", "resume"):
        call = f"first_segment({str(folder)!r}, {kind!r})"
        for _ in range(2 if kind == "start" else 1):  # the first fills the cache
            if kind == "start":
                shutil.rmtree(folder, ignore_errors=True)
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", f"import bench_study; bench_study.{call}"],
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - started
        name = f"{kind}, a process of its own"
        print(f"{name:32}{seconds:8.2f} s  {done.stdout.strip()}")


def first_segment(folder: str, kind: str) -> None:
    """Run until two segments are done and kept; say how long compiling took."""
    import jax

    cache = Path(tempfile.gettempdir()) / "wdjax_bench_cache"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    from wdjax import sweep

    train, grid, data = setup(steps=100, cells=CELLS)
    started = time.perf_counter()
    seen = []

    def progress(news: Any) -> None:
        seen.append((time.perf_counter() - started, news.share))
        if len(seen) == 2:
            raise Stopped

    try:
        options = {"folder": folder, "every": 0.0, "resume": kind == "resume"}
        sweep.run(train, grid, data, progress=progress, **options)
    except Stopped:
        print(f"(first segment after {seen[0][0]:.2f} s, at {seen[0][1]:.1%})")


def main() -> None:
    """Run all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    rounds = parser.parse_args().rounds
    print(f"{platform.machine()}, {os.cpu_count()} cores, {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        resuming(Path(folder) / "killed")
        overheads(rounds, Path(folder))
    many_cells(rounds)
    memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process{'':5}{peak:8.0f} MiB")


if __name__ == "__main__":
    main()
