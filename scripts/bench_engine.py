"""Time the engine's MLP, CNN and ResNet-20 grids beside PyTorch eager, in one run.

Turns are interleaved, see ``race.py``. MLP 3072-128-128-10, CNN and ResNet-20 (batch
normalised) of ``wdjax.models``, batch 128, AdamW, float32; data are random, the work is
not.

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
from typing import Any, NamedTuple

from race import Contender, Turns, race, ratio

BATCH, EXAMPLES = 128, 500
MLP_SIZES, CNN_CHANNELS = (3072, 128, 128, 10), (16, 32, 32)


class Race(NamedTuple):
    """A network's grid.

    Attributes:
        cells: in the grid.
        steps: of a turn, so that the final evaluation weighs 3 % or less.
        microbatch: images whose gradient is taken at once.
        bound: what the ratio to PyTorch should not exceed.
    """

    cells: int
    steps: int
    microbatch: int | None
    bound: float


RACES = {
    "mlp": Race(16, 100, None, 0.75),
    "cnn": Race(4, 40, 16, 0.8),
    "resnet20": Race(2, 8, None, 1.0),
}
MLP_FLOP = 2 * BATCH * (2 * 3072 * 128 + 3 * 128 * 128 + 3 * 128 * 10)

NOTES = """
Tried on two x86-64 cores, each as a full AdamW step inside lax.scan at batch 128; the
first figures are ratios to PyTorch eager in the same run:

  CNN:         patches, one product, the whole batch at once              0.92-1.07
               the same, 16 images at a time (kept)                       see above
               32, 8, 4 at a time: 1.24, 0.93, 0.92 x the time of 16 on two
               devices, 1.11, 1.19, 1.54 x on one
               patches in two stages, rows then columns                   1.01
               patches recomputed in a custom VJP                         0.97
               patches along the width, three products                    0.91
               nine shifted products, summed                              1.30
               input gradient as a dilated, flipped im2col                2.35
               lax.conv with XLA's derivatives, slow inside scan          about 66
               lax.conv with ours (kept at stride 1 from 8 channels on): 1.5 x slower
               in this network, whose convolutions have stride 2
  ResNet-20:   patches everywhere                                         2.8
               lax.conv, ours: input gradient by a reversed kernel, kernel
               gradient by patches, a few images at a time (kept)         see above
               kernel gradient by patches along the width, 3 products     1.05 x kept
               kernel gradient by nine shifted products                   1.2 x kept
               variance differentiated with its mean                      1.15 x kept
               channels normalised in groups, 8 images at a time          about 1.5
               what remains: at 32 x 32 x 16 the kernel gradient takes 5.2 ms where
               oneDNN has input and kernel gradient in 4.7
  cells:       one after the other (lax.map; kept on CPU)                 see above
               vmapped: kernels and moments leave the cache               1.2-1.6 x map
               spread over two CPU devices: even for the networks timed here, 1.4 x
               faster for the smaller MLP 3072-64-64-10 at batch 64

  MLP:         gradient of the first kernel, 3072 x 128, in a step of its own, ms:
               xᵀδ 0.59; (δᵀx)ᵀ behind a barrier 0.71; x transposed behind a barrier
               0.38; in 4, 8, 24 blocks of rows 0.44, 0.29 (kept), 0.36
               single-threaded products on two devices (a compile option)   1.00 x kept
               oneDNN's products, a flag of the process: 0.33

Accelerators: scripts/bench accelerator.
"""


def wdjax_grid(
    model: str, devices: int, block: int, entered: Race | None = None
) -> Callable[[], dict[str, float]]:
    """The engine: a grid of cells, one seed, AdamW."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    import jax.numpy as jnp
    import numpy as np

    import wdjax
    from wdjax import models, sweep

    entered = entered or RACES[model]
    network = {
        "mlp": lambda: models.mlp(MLP_SIZES[1:-1]),
        "cnn": lambda: models.cnn(CNN_CHANNELS),
        "resnet20": models.resnet20,
    }[model]()
    train = sweep.make_train(
        network.init,
        network.apply,
        lambda h: wdjax.adamw(h["learning_rate"], h["decay"]),
        steps=entered.steps,
        batch_size=BATCH,
        records=1,
        microbatch=entered.microbatch,
        collect=network.collect,
    )
    rng = np.random.default_rng(0)

    def examples(n: int) -> Any:
        images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, n).astype(np.int32)
        return sweep.Examples(jnp.asarray(images), jnp.asarray(labels))

    splits = (examples(EXAMPLES), examples(1), examples(1))
    data = sweep.Arrays(*splits, mean=jnp.full(3, 127.0), deviation=jnp.full(3, 64.0))
    cells = entered.cells
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
        return {"ms": 1e3 * seconds / cells / entered.steps, "compile": compile_seconds}

    return turn


def torch_eager(
    model: str, threads: int, channels_last: bool
) -> Callable[[], dict[str, float]]:
    """PyTorch eager, fused AdamW."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = torch_network(model)
    images = torch.randint(0, 256, (EXAMPLES, 3, 32, 32), dtype=torch.uint8)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (EXAMPLES,))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    loss = nn.CrossEntropyLoss()
    steps = RACES[model].steps

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(steps):
            rows = torch.randint(0, EXAMPLES, (BATCH,))
            x = (images[rows].float() - 127.0) / 64.0
            optimizer.zero_grad(set_to_none=True)
            loss(network(x), labels[rows]).backward()
            optimizer.step()
        return {"ms": 1e3 * (time.perf_counter() - started) / steps}

    return turn


def torch_network(model: str) -> Any:
    """A network of ``wdjax.models`` in PyTorch."""
    makers = {"mlp": _torch_mlp, "cnn": _torch_cnn, "resnet20": _torch_resnet20}
    return makers[model]()


def _torch_mlp() -> Any:
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in itertools.pairwise(MLP_SIZES):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


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


def _torch_resnet20() -> Any:
    """The network of ``wdjax.models.resnet20``: shortcuts without parameters."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, fan_in: int, fan_out: int, stride: int):
            super().__init__()
            self.conv_0 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
            self.conv_1 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
            self.norm_0, self.norm_1 = nn.BatchNorm2d(fan_out), nn.BatchNorm2d(fan_out)
            self.stride, self.wider = stride, fan_out - fan_in

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = functional.relu(self.norm_0(self.conv_0(x)))
            h = self.norm_1(self.conv_1(h))
            shortcut = x[:, :, :: self.stride, :: self.stride]
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.wider))
            return functional.relu(h + shortcut)

    stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(16), nn.ReLU()]
    for fan_in, fan_out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [Block(fan_in, fan_out, stride)]
        layers += [Block(fan_out, fan_out, 1) for _ in range(2)]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
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


def pinned(model: str) -> Callable[[], dict[str, float]]:
    """The engine on one device and one core."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    return wdjax_grid(model, 1, 1)


def row(name: str, turns: Turns, against: Turns) -> str:
    """Median time, median ratio within rounds, compile seconds, peak memory."""
    ms = statistics.median(t["ms"] for t in turns)
    compiled = turns[0].get("compile", float("nan"))
    peak = max(t["peak_mib"] for t in turns)
    relative = ratio(turns, against) if against else float("nan")
    return f"{name:34}{ms:9.2f}{relative:9.2f}{compiled:11.1f}{peak:11.0f}"


def contenders(model: str, cores: int, with_torch: bool) -> list[Contender]:
    """Who takes turns."""
    found = [
        Contender("map, 1 device", wdjax_grid, (model, 1, 1)),
        Contender(f"map, {cores} devices", wdjax_grid, (model, cores, 1)),
        Contender("map, 1 device, 1 core", pinned, (model,)),
    ]
    if model != "resnet20":
        block = RACES[model].cells
        found.append(Contender("vmap, 1 device", wdjax_grid, (model, 1, block)))
    if with_torch:
        found.append(Contender("PyTorch", torch_eager, (model, cores, False)))
        if model != "mlp":
            last = (model, cores, True)
            found.append(Contender("PyTorch, channels last", torch_eager, last))
    return [*found, Contender("matrix product", matrix_product, (1,))]


def report(model: str, turns: dict[str, Turns], cores: int) -> None:
    """Print a model's table, and what it says about the bounds."""
    entered = RACES[model]
    peak = statistics.median(t["gflops"] for t in turns.pop("matrix product"))

    def median(name: str) -> float:
        return statistics.median(t["ms"] for t in turns[name])

    rivals = [name for name in turns if name.startswith("PyTorch")]
    rival = turns[min(rivals, key=median)] if rivals else []
    cut = f", {entered.microbatch} images at a time" if entered.microbatch else ""
    print(
        f"\n{model}: {entered.cells} cells, {entered.steps} steps, batch {BATCH}{cut}"
    )
    header = ("ms/cell-step", "ratio", "compile s", "peak MiB")
    print(f"{'':30}{header[0]:>13}{header[1]:>9}{header[2]:>11}{header[3]:>11}")
    for name, theirs in turns.items():
        print(row(name, theirs, rival))
    ours = min((name for name in turns if name not in rivals), key=median)
    if rivals:
        print(
            f"the best of ours takes {ratio(turns[ours], rival):.2f} of the time of "
            f"PyTorch's best (bound {entered.bound})"
        )
    spread = ratio(turns["map, 1 device, 1 core"], turns[f"map, {cores} devices"])
    print(f"{cores} devices do {spread:.2f} x the work of one core (bound 1.6)")
    if model == "mlp":
        rate = MLP_FLOP / median(ours) / 1e6
        share = f"{rate:.0f} of {peak:.0f} GFLOP/s ({rate / peak:.0%})"
        print(f"the best reaches {share} of the matrix product's rate (bound 55 %)")


def main() -> None:
    """Run the races and print one table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--models", nargs="+", default=list(RACES), choices=RACES)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    print(f"{platform.machine()}, {cores} cores, {arguments.rounds} rounds")
    with_torch = importlib.util.find_spec("torch") is not None
    print("PyTorch eager beside it" if with_torch else "PyTorch is not installed")
    for model in arguments.models:
        turns = race(contenders(model, cores, with_torch), arguments.rounds)
        report(model, turns, cores)
    print(NOTES)


if __name__ == "__main__":
    main()
