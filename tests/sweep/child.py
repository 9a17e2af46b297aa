"""A small study in a process of its own, to be killed, or one of several.

Arguments: the folder, and the file for the result.
"""

import os
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update(
    "jax_compilation_cache_dir", str(Path(__file__).parents[2] / ".cache" / "jax")
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
if "JAX_NUM_PROCESSES" in os.environ:
    jax.distributed.initialize(
        num_processes=int(os.environ["JAX_NUM_PROCESSES"]),
        process_id=int(os.environ["JAX_PROCESS_ID"]),
    )

import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

import wdjax  # noqa: E402
from wdjax import sweep  # noqa: E402

SEGMENTS = 12


def training() -> sweep.Training:
    """Noisy AdamW on a quadratic, with a key in its state."""

    def optimizer(hypers):
        noise = optax.add_noise(0.01, 0.5, key=jax.random.key(3))
        return optax.chain(noise, wdjax.adamw(hypers["learning_rate"], hypers["decay"]))

    def begin(data, hypers, key):
        params = {"w": jax.random.normal(key, (50, 40))}
        return params, optimizer(hypers).init(params)

    def advance(data, hypers, key, state, segment):
        def step(state, t):
            params, inner = state
            gradient = jax.tree.map(lambda w: w - data, params)
            updates, inner = optimizer(hypers).update(gradient, inner, params)
            return (optax.apply_updates(params, updates), inner), None

        state, _ = jax.lax.scan(step, state, jnp.arange(5))
        return state, {"loss": jnp.sum((state[0]["w"] - data) ** 2)}

    def finish(data, hypers, key, state):
        return {"norm": optax.tree.norm(state[0])}

    return sweep.Training(begin, advance, finish, segments=SEGMENTS)


def main(folder: str, result: str) -> None:
    """Run, and write what came out; a line on stdout for each segment."""
    found = sweep.run(
        training(),
        sweep.grid(seed=[0, 1], decay=[0.0, 0.1], learning_rate=[0.01, 0.1, 0.3]),
        jnp.ones((50, 40)),
        layout=sweep.Layout(devices=2, block=1, chunk=4),
        progress=lambda news: print(f"{news.share:.3f}", flush=True),
        folder=folder,
        resume=True,
        every=0.0,
    )
    sweep.save(found, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
