"""Time the engine's MLP and CNN grids beside PyTorch eager, in one run.

Turns are interleaved, see ``race.py``. MLP 3072-128-128-10 and the CNN of
``wdjax.models``, batch 128, AdamW, float32; data are random, the work is not.

What was tried and dropped is noted in ``NOTES`` below and printed with the table.
"""

import argparse
import importlib.util
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from race import Contender, Turns, race, ratio

BATCH, EXAMPLES = 128, 500
MLP_SIZES, CNN_CHANNELS = (3072, 128, 128, 10), (16, 32, 32)
STEPS = {"mlp": 100, "cnn": 40}  # so that the final evaluation weighs 3 % or less
CELLS = {"mlp": 16, "cnn": 4}
MLP_FLOP = 2 * BATCH * (2 * 3072 * 128 + 3 * 128 * 128 + 3 * 128 * 10)

NOTES = """
Tried on two x86-64 cores, each as a full AdamW step inside lax.scan at batch 128, as a
ratio to PyTorch eager in the same run:

  convolution: strided slices, concatenated, one product (kept)           0.79-1.07
               the same in two stages, rows then columns                  1.01
               the same, patches recomputed in a custom VJP               0.97
               patches along the width, three products                    0.91
               nine shifted products, summed                              1.30
               input gradient as a dilated, flipped im2col                2.35
               lax.conv, whose gradient is slow inside scan               about 66
  cells:       one after the other (lax.map; kept on CPU)                 see above
               vmapped: kernels and moments leave the cache               1.2-1.6 x map
               spread over two CPU devices: even for the networks timed here, 1.4 x
               faster for the smaller MLP 3072-64-64-10 at batch 64

  products:    of the MLP's, xᵀδ for the first kernel runs at 154 GFLOP/s where the
               forward product runs at 378 and δᵀx at 344; XLA turns δᵀx back into xᵀδ
               unless a barrier stands between, and then transposing costs more than it
               gains: 1.4-1.8 x. For the CNN's small kernels it gains:         0.92-0.96
               single-threaded products on two devices (a compile option)      1.00

Not measured: any accelerator. There lax.conv and blocks of 64 vmapped cells are used.
"""


def wdjax_grid(model: str, devices: int, block: int) -> Callable[[], dict[str, float]]:
    """The engine: a grid of cells, one seed, AdamW."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    import jax.numpy as jnp
    import numpy as np

    import wdjax
    from wdjax import models, sweep

    mlp = model == "mlp"
    network = models.mlp(MLP_SIZES[1:-1]) if mlp else models.cnn(CNN_CHANNELS)
    train = sweep.make_train(
        network.init,
        network.apply,
        lambda h: wdjax.adamw(h["learning_rate"], h["decay"]),
        steps=STEPS[model],
        batch_size=BATCH,
        records=1,
    )
    rng = np.random.default_rng(0)

    def examples(n: int) -> Any:
        images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, n).astype(np.int32)
        return sweep.Examples(jnp.asarray(images), jnp.asarray(labels))

    splits = (examples(EXAMPLES), examples(1), examples(1))
    data = sweep.Arrays(*splits, mean=jnp.full(3, 127.0), deviation=jnp.full(3, 64.0))
    cells = CELLS[model]
    grid = sweep.grid([0], learning_rate=[1e-3], decay=np.geomspace(1e-4, 1, cells))
    layout = sweep.Layout(devices, block, cells)
    started = time.perf_counter()
    study = sweep.prepare(train, grid, data, layout)
    compile_seconds = time.perf_counter() - started

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        flight = study.begin(0)
        while flight.segment < train.segments:
            flight = study.advance(flight)
        study.finish(flight)
        seconds = time.perf_counter() - started
        return {"ms": 1e3 * seconds / cells / STEPS[model], "compile": compile_seconds}

    return turn


def torch_eager(model: str, threads: int) -> Callable[[], dict[str, float]]:
    """PyTorch eager, fused AdamW; the CNN in channels-last."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if model == "mlp":
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in itertools.pairwise(MLP_SIZES):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        network = nn.Sequential(*layers[:-1])
    else:
        network = _torch_cnn()
    images = torch.randint(0, 256, (EXAMPLES, 3, 32, 32), dtype=torch.uint8)
    if model == "cnn":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (EXAMPLES,))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    loss = nn.CrossEntropyLoss()

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(STEPS[model]):
            rows = torch.randint(0, EXAMPLES, (BATCH,))
            x = (images[rows].float() - 127.0) / 64.0
            optimizer.zero_grad(set_to_none=True)
            loss(network(x), labels[rows]).backward()
            optimizer.step()
        return {"ms": 1e3 * (time.perf_counter() - started) / STEPS[model]}

    return turn


def _torch_cnn() -> Any:
    """The network of ``wdjax.models.cnn``: strides 1, 2, 2, then the mean."""
    from torch import nn

    layers: list[nn.Module] = []
    widths = (3, *CNN_CHANNELS)
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        stride = 1 if i == 0 else 2
        layers += [nn.Conv2d(fan_in, fan_out, 3, stride, padding=1), nn.ReLU()]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)]
    return nn.Sequential(*layers, *pool)


def matrix_product(devices: int) -> Callable[[], dict[str, float]]:
    """The machine's measured rate: one large float32 product, all cores."""
    import jax
    import jax.numpy as jnp

    del devices
    a = jnp.ones((3072, 3072), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        jax.block_until_ready(product(a))
        return {"gflops": 2 * 3072**3 / (time.perf_counter() - started) / 1e9}

    return turn


def row(name: str, turns: Turns, against: Turns) -> str:
    """Median time, median ratio within rounds, compile seconds, peak memory."""
    ms = statistics.median(t["ms"] for t in turns)
    compiled = turns[0].get("compile", float("nan"))
    peak = max(t["peak_mib"] for t in turns)
    relative = ratio(turns, against) if against else float("nan")
    return f"{name:34}{ms:9.2f}{relative:9.2f}{compiled:11.1f}{peak:11.0f}"


def main() -> None:
    """Run the races and print one table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    rounds = parser.parse_args().rounds
    cores = os.cpu_count() or 1
    print(f"{platform.machine()}, {cores} cores, {rounds} rounds")
    with_torch = importlib.util.find_spec("torch") is not None
    print("PyTorch eager beside it" if with_torch else "PyTorch is not installed")
    for model in ("mlp", "cnn"):
        cells = CELLS[model]
        contenders = [
            Contender("map, 1 device", wdjax_grid, (model, 1, 1)),
            Contender(f"map, {cores} devices", wdjax_grid, (model, cores, 1)),
            Contender("vmap, 1 device", wdjax_grid, (model, 1, cells)),
        ]
        if with_torch:
            contenders.append(Contender("PyTorch", torch_eager, (model, cores)))
        contenders.append(Contender("matrix product", matrix_product, (1,)))
        turns = race(contenders, rounds)
        peak = statistics.median(t["gflops"] for t in turns.pop("matrix product"))
        print(f"\n{model}: {cells} cells, {STEPS[model]} steps, batch {BATCH}")
        header = ("ms/cell-step", "ratio", "compile s", "peak MiB")
        print(f"{'':30}{header[0]:>13}{header[1]:>9}{header[2]:>11}{header[3]:>11}")
        for name, theirs in turns.items():
            print(row(name, theirs, turns.get("PyTorch", [])))
        if model == "mlp":
            best = min(statistics.median(t["ms"] for t in v) for v in turns.values())
            rate = MLP_FLOP / best / 1e6
            share = f"{rate:.0f} of {peak:.0f} GFLOP/s ({rate / peak:.0%})"
            print(f"the best reaches {share} of the matrix product's rate")
    print(NOTES)


if __name__ == "__main__":
    main()
