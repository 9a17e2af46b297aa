"""Time the engine's grids on an accelerator: how many cells at once, which convolution.

Each line is a process of its own, one after the other: a grid of as many cells as its
block holds, AdamW at batch 128, float32 parameters, products in the backend's default
precision. PyTorch trains one cell, eagerly and replaying a CUDA graph, with the same
networks, TF32 and fused AdamW.
"""

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench_engine import BATCH, EXAMPLES, Race, torch_network, wdjax_grid

CONV = ("conv_lax", "conv_im2col")
BLOCKS = {"mlp": (1, 64, 512), "cnn": (1, 64, 256), "resnet20": (1, 16)}
STEPS = {"mlp": 200, "cnn": 50, "resnet20": 20}
FORMS = {"mlp": ("convolve",), "cnn": CONV, "resnet20": CONV}
TURNS = 5
LIMIT = 120.0  # seconds of a process

NOTES = """
On one H100 (80 GB), JAX 0.11.2, PyTorch 2.11, microseconds a cell-step:

  MLP:        blocks of 1, 64, 512                        78.9, 9.8, 8.3
              PyTorch, eager and as a CUDA graph          1,465 and 114
  CNN:        patches, blocks of 1, 64, 256 (kept)        389, 121, 118
              lax.conv, blocks of 1 and 64                425 and 450
              blocks of 64 take 6.5 GiB with patches and 22 with lax.conv, whose
              vmapped kernels are a grouped convolution
              PyTorch, eager and as a CUDA graph          2,113 and 380
  ResNet-20:  lax.conv, blocks of 16                      2,936
              patches: not measured, started and compiled in more than 30 s
  Patches move 9 times the input, lax.conv does not: with many channels it must win at
  some point, so patches are used up to 32 channels, which is what the CNN has.

Not measured: TPUs.
"""


def wdjax_block(model: str, block: int, form: str) -> Callable[[], dict[str, float]]:
    """A grid of one block, its convolutions in a form of ``wdjax.models.conv``."""
    import jax

    from wdjax.models import conv, layers

    layers.convolve = getattr(conv, form)
    entered = Race(block, STEPS[model], None, 0.0)
    turn = wdjax_grid(model, 1, block, entered)

    def with_memory() -> dict[str, float]:
        figures = turn()
        used = jax.local_devices()[0].memory_stats() or {}
        return figures | {"mib": used.get("peak_bytes_in_use", 0) / 2**20}

    return with_memory


def torch_cell(model: str, graph: bool) -> Callable[[], dict[str, float]]:
    """One cell in PyTorch: eager, or a captured step that is replayed."""
    import torch
    from torch.nn import functional

    torch.set_float32_matmul_precision("high")  # TF32, as XLA's default
    torch.manual_seed(0)
    device = torch.device("cuda")
    network = torch_network(model).to(device)
    shape = (EXAMPLES, 3, 32, 32)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (EXAMPLES,), device=device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-3, fused=True, capturable=graph
    )

    def step() -> None:
        rows = torch.randint(0, EXAMPLES, (BATCH,), device=device)
        x = (images[rows].float() - 127.0) / 64.0
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(x), labels[rows]).backward()
        optimizer.step()

    one = _captured(step) if graph else step

    def turn() -> dict[str, float]:
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(STEPS[model]):
            one()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return {
            "ms": 1e3 * seconds / STEPS[model],
            "mib": torch.cuda.max_memory_allocated() / 2**20,
        }

    return turn


def _captured(step: Callable[[], None]) -> Callable[[], None]:
    import torch

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _serve(pipe: Any, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    turn = prepare(*arguments)
    turn()
    pipe.send([turn() for _ in range(TURNS)])


def timed(
    prepare: Callable[..., Any], arguments: tuple[Any, ...]
) -> list[dict[str, float]]:
    """The turns of one process; none if it failed or took too long."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, prepare, arguments))
    process.start()
    theirs.close()
    try:
        turns = mine.recv() if mine.poll(LIMIT) else []
    except EOFError:
        turns = []
    process.kill()
    process.join()
    return turns


def show(name: str, prepare: Callable[..., Any], *arguments: Any) -> None:
    """One line of the table."""
    started = time.perf_counter()
    turns = timed(prepare, arguments)
    took = time.perf_counter() - started
    if not turns:
        print(f"{name:34}  failed, or took over {LIMIT:.0f} s", flush=True)
        return
    times = [1e3 * turn["ms"] for turn in turns]
    spread = (max(times) - min(times)) / statistics.median(times)
    compiled = turns[0].get("compile", float("nan"))
    print(
        f"{name:34}{statistics.median(times):12.2f}{spread:9.0%}{compiled:10.1f}"
        f"{turns[0]['mib']:10.0f}{took:8.0f}",
        flush=True,
    )


def main() -> None:
    """Print one table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(BLOCKS), choices=BLOCKS)
    arguments = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    if jax.default_backend() == "cpu":
        raise SystemExit("No accelerator here; scripts/bench engine times a CPU.")
    for model in arguments.models:
        print(f"\n{model}: batch {BATCH}, {STEPS[model]} steps, {TURNS} turns")
        print(f"{'':34}{'µs/cell-step':>12}{'spread':>9}{'compile s':>10}{'MiB':>10}")
        for block in BLOCKS[model]:
            for form in FORMS[model]:
                show(f"blocks of {block}, {form}", wdjax_block, model, block, form)
        if importlib.util.find_spec("torch") is not None:
            show("PyTorch, one cell", torch_cell, model, False)
            show("PyTorch, one cell, CUDA graph", torch_cell, model, True)
    print(NOTES)


if __name__ == "__main__":
    main()
