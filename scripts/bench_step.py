"""Time one jitted, donated optimizer step: every decay beside its base optimizer.

Float32 parameters in one leaf, so that memory traffic is all there is. Contenders of
one library share a process and take turns within each round; PyTorch has a process of
its own (``race.py``). A ratio is the median of the ratios within rounds. "XLA" is the
traffic that the compiler counts, in bytes a parameter; 28 is the least for Adam: θ, g,
m, v in and θ, m, v out.

A decay may cost 1.15 times its base's time (1.02 times that of its equal in Optax) and
one read of its extra state, at the rate at which this machine reads. Every ratio is
taken again inside a longer program, where training takes its steps, and with --ways
also in the two ways that no program can choose for itself: XLA told to merge outputs,
and memory that the C library keeps. What was tried for the step itself is noted in
``NOTES`` below and printed with the table.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from race import Contender, Turns, race, ratio
from step_variants import LAM, NOTHING, RATE, VARIANTS, Variant, makers

STEPS = 5  # in a turn
SIZES = (10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7, 3 * 10**7, 10**8)
FLAG = "xla_cpu_use_multi_output_fusion"
MERGED = {"XLA_FLAGS": f"--xla_backend_extra_options={FLAG}"}
KEPT = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
ALONE = "alone"
WAYS: dict[str, tuple[bool, dict[str, str]]] = {
    ALONE: (False, {}),
    "in a loop": (True, {}),
    "merged": (False, MERGED),
    "kept": (False, KEPT),
}
"""A step: whether it is one of several in a program, and the process's environment."""

NOTES = """
Tried for AdamW on two x86-64 cores, as ratios to optax.adamw in the same run:

  three loops, as Optax has them (kept): 40 bytes a parameter           0.88-1.01
  the same, XLA told to merge outputs (the flag above): 36 bytes        0.72-0.84
  one loop: the step from moments of its own, with the flag: 28 bytes   0.44-0.63
      without the flag XLA copies what is donated: 60 bytes             3.2
  the moments behind an optimization_barrier, with the flag: 44 bytes   2.9
  a loop over blocks of 25,000 to 500,000, in place                     22-350
      with the flag                                                     0.86-1.16
  PyTorch's fused AdamW                                                 0.41-0.64

The flag belongs to the process, not to a program, and without it the one loop loses; so
it is no default ("merged" below). What else costs, beyond the bytes, as ratios alone
and in a loop:

  scratch of a step that is a program of its own is mapped anew in every call, page by
      page: most of what norm control costs alone (held norm 7.2, in a loop 1.9), and
      RMSprop, Adagrad and Lion behind L2 (3.7, 3.6, 1.8; in a loop 1.6, 1.6, 1.5),
      where g + λθ is written out as in Optax's own chain. "Kept" is the C library told
      not to give memory back (MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_)
  a sum over θ + u (held norm, CPR, turns): XLA writes θ + u out first, in each of ten
      forms: p², |p|², two stages, a dot, a variadic reduce, a maximum or a select in
      between, the square expanded, barriers around θ or around both
  g + λθ in front of the Adam family: θ is read twice more, 48 bytes for 40
  a mean of g or a norm of θ first (stable, to a norm): another read, 16 bytes for 12
  an average of θ, or master weights: memory that is written too, 28 for 12 and 18 for 6
  squares that AdamS could share with Adam: 3.3 x, and 1.13-1.17 behind a barrier
  two outputs that need both inputs (error feedback): both are copied first, in each of
      five forms: from the exact, the rounded or the stepped weight, behind a barrier,
      or as halves of one word, 14.8-16.9 ms
  exp (the exponential pull): arithmetic, 1.2
  random numbers (stochastic gate and rounding), nanoseconds each: jax.random 8; its
      words halved 3.4; four draws from a block, put together by reshaping, 0.7-2.1; a
      block for each entry inside the loop that uses it (kept) 0.6
  p + u where u is the buffer itself (sgd_l2_velocity): XLA's loops that only add take
      twice as long as those that multiply too, 0.21 and 0.12 ms for a million

On an H100, 100 million parameters, with --size 100000000: XLA makes one loop of AdamW
(28 bytes), 1.00 ms; optax.adamw 1.04, PyTorch's fused AdamW 1.16; adam_l2 and sgdw as
fast as their bases, in a loop 1.03 and 0.94 of them. TPU: not measured.
"""


def compiled(
    make: Callable[[], Any], size: int, dtype: str, looped: bool
) -> tuple[Any, list[Any]]:
    """The compiled step, or loop of them: parameters, state and gradient come in."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = make()

    def step(params: Any, state: Any, gradient: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    def steps(params: Any, state: Any, gradient: Any) -> tuple[Any, Any, Any]:
        def body(_: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            params, state, gradient = carry
            gradient = 0.9999 * gradient  # a new one, as a backward pass would leave it
            return *step(params, state, gradient), gradient

        return jax.lax.fori_loop(0, STEPS, body, (params, state, gradient))

    params = jnp.ones((size // 100, 100), dtype)  # a matrix: norm control asks for one
    arguments = [params, optimizer.init(params), jnp.full_like(params, 0.1)]
    if looped:
        program = jax.jit(steps, donate_argnums=(0, 1, 2))
    else:
        program = jax.jit(step, donate_argnums=(0, 1))
    program = program.lower(*arguments).compile()
    return program, arguments


def jax_steps(
    names: tuple[str, ...], size: int, dtype: str, looped: bool = False
) -> Callable[[], dict[str, float]]:
    """One process: the named contenders, a few steps of each in every turn.

    Looped steps make their gradients too; the time of that alone is taken off.
    """
    import jax

    names = (*names, NOTHING) if looped else names
    known = makers(np.zeros((size // 100, 100), dtype))
    running = {name: compiled(known[name], size, dtype, looped) for name in names}
    traffic = {
        f"{name} bytes": program.cost_analysis()["bytes accessed"] / size
        for name, (program, _) in running.items()
    }

    def turn() -> dict[str, float]:
        times = {}
        for name, (program, arguments) in running.items():
            started = time.perf_counter()
            for _ in range(1 if looped else STEPS):
                results = program(*arguments)
                arguments[: len(results)] = results
            jax.block_until_ready(arguments[0])
            times[name] = 1e3 * (time.perf_counter() - started) / STEPS
        gradients = times.pop(NOTHING, 0.0)
        return {name: ms - gradients for name, ms in times.items()} | traffic

    return turn


def torch_step(size: int, threads: int) -> Callable[[], dict[str, float]]:
    """PyTorch's fused AdamW."""
    import torch

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    theta = torch.nn.Parameter(torch.ones(size, device=device))
    theta.grad = torch.full_like(theta, 0.1)
    optimizer = torch.optim.AdamW([theta], lr=RATE, weight_decay=LAM, fused=True)

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(STEPS):
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return {"torch": 1e3 * (time.perf_counter() - started) / STEPS}

    return turn


def read_rate(size: int) -> Callable[[], dict[str, float]]:
    """How fast this machine reads: the sum of as many numbers."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((size,), jnp.float32)
    total = jax.jit(jnp.sum)
    jax.block_until_ready(total(x))

    def turn() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(STEPS):
            jax.block_until_ready(total(x))
        seconds = (time.perf_counter() - started) / STEPS
        return {"bytes per ms": 4 * size / (1e3 * seconds)}

    return turn


def fit(sizes: list[int], ms: list[float]) -> tuple[float, float]:
    """Fixed milliseconds and nanoseconds a parameter, by relative least squares."""
    n, t = np.array(sizes, float), np.array(ms)
    columns = np.stack([1 / t, n / t], axis=1)  # (a + b n) / t = 1
    fixed, slope = np.linalg.lstsq(columns, np.ones_like(t), rcond=None)[0]
    return float(fixed), float(1e6 * slope)


def scaling(rounds: int) -> None:
    """Fit time = overhead + slope × parameters, for the Adam family."""
    names = ("optax.adamw", "adamw", "optax, L2, adam", "adam_l2")
    times: dict[str, list[float]] = {name: [] for name in names}
    for size in SIZES:
        contender = Contender("jax", jax_steps, (names, size, "float32"))
        turns = race([contender], rounds)["jax"]
        for name in names:
            times[name].append(statistics.median(turn[name] for turn in turns))
    print(f"\nms a step at {', '.join(f'{n:.0e}' for n in SIZES)} parameters")
    for name, ms in times.items():
        fixed, slope = fit(list(SIZES), ms)
        shown = " ".join(f"{t:9.3f}" for t in ms)
        print(f"{name:22}{shown}   {fixed:.3f} ms + {slope:.3f} ns a parameter")


def table(turns: dict[str, Turns], variants: list[Variant], size: int) -> None:
    """A line for each variant: time, what is allowed, and its ratio in each way."""
    per_ms = statistics.median(t["bytes per ms"] for t in turns["read"])
    ways = [way for way in WAYS if way in turns]
    print(f"{'':24}{'base':20}{'ms':>8}{'XLA B':>7}{'allowed':>9}", end="")
    print("".join(f"{way:>10}" for way in ways))
    for name, base, state_bytes, _, limit in variants:
        alone = turns[ALONE]
        ms = statistics.median(t[name] for t in alone)
        base_ms = statistics.median(t[base] for t in alone)
        allowed = limit + state_bytes * size / per_ms / base_ms
        ratios = [
            statistics.median(t[name] / t[base] for t in turns[way]) for way in ways
        ]
        print(f"{name:24}{base:20}{ms:8.2f}{alone[0][f'{name} bytes']:7.1f}", end="")
        shown = (f"{r:9.3f}{' ' if r <= allowed else '*'}" for r in ratios)
        print(f"{allowed:9.3f}{''.join(shown)}")


def compare(variants: list[Variant], size: int, rounds: int, ways: list[str]) -> None:
    """Time the variants of one dtype beside their bases, in each way."""
    names = tuple(dict.fromkeys(n for v in variants for n in (v.base, v.name)))
    turns = race([Contender("read", read_rate, (size,))], rounds)
    for way in ways:
        looped, environment = WAYS[way]
        arguments = (names, size, variants[0].dtype, looped)
        turns |= race([Contender(way, jax_steps, arguments, environment)], rounds)
    table(turns, variants, size)


def beside_torch(size: int, rounds: int) -> None:
    """AdamW as Optax, wdjax and PyTorch make it, and in one pass."""
    ours, theirs, one_pass = "adamw", "optax.adamw", "adamw, one pass"
    names = (theirs, ours)
    contenders = [
        Contender("jax", jax_steps, (names, size, "float32")),
        Contender("flag", jax_steps, ((*names, one_pass), size, "float32"), MERGED),
    ]
    if importlib.util.find_spec("torch") is not None:
        cores = os.cpu_count() or 1
        contenders.append(Contender("torch", torch_step, (size, cores)))
    turns = race(contenders, rounds)
    base = [{"ms": t[theirs]} for t in turns["jax"]]
    print(f"{'':46}{'ms':>8}{'ratio':>8}{'XLA B':>7}")
    for process, theirs_turns in turns.items():
        for name in (n for n in theirs_turns[0] if f"{n} bytes" in theirs_turns[0]):
            ms = [{"ms": t[name]} for t in theirs_turns]
            shown = f"{name} ({FLAG})" if process == "flag" else name
            bytes_ = theirs_turns[0][f"{name} bytes"]
            line = f"{shown:46}{statistics.median(t['ms'] for t in ms):8.2f}"
            print(f"{line}{ratio(ms, base):8.3f}{bytes_:7.1f}")
    if "torch" in turns:
        ms = [{"ms": t["torch"]} for t in turns["torch"]]
        median = statistics.median(t["ms"] for t in ms)
        print(f"{'PyTorch, fused':46}{median:8.2f}{ratio(ms, base):8.3f}")


def main() -> None:
    """Run the races and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each")
    parser.add_argument("--size", type=int, default=10**7, help="parameters")
    parser.add_argument("--no-scaling", action="store_true", help="skip the fits")
    parser.add_argument("--ways", action="store_true", help="all ways, not just two")
    parser.add_argument("--only", nargs="+", help="these variants, and no fits")
    options = parser.parse_args()
    ways = list(WAYS) if options.ways else list(WAYS)[:2]
    chosen = [v for v in VARIANTS if not options.only or v.name in options.only]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.rounds} rounds of")
    print(f"{STEPS} steps, {options.size:.0e} parameters\n\nAdamW")
    beside_torch(options.size, options.rounds)
    for title, keep in (
        ("Named chains", lambda v: v.base not in ("optax.sgd", "sgdw")),
        ("SGD", lambda v: v.base == "optax.sgd"),
        ("bfloat16 parameters", lambda v: v.dtype == "bfloat16"),
    ):
        if kept := [v for v in chosen if keep(v)]:
            print(f"\n{title}; * is more than allowed")
            compare(kept, options.size, options.rounds, ways)
    if not options.no_scaling and not options.only:
        scaling(max(3, options.rounds // 3))
    print(NOTES)


if __name__ == "__main__":
    main()
