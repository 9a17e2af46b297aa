"""A study under a steady clock and one under a clock that jumps, compared.

In a process of its own, because Orbax leaves behind what it takes for late. Argument:
a folder.
"""

import itertools
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from wdjax import sweep

JUMPS = (0.0, 3e8, -86_400.0, 5.0, -3e8)


def jumping():
    """The clock that people set, set anew at every look."""
    jumps = itertools.cycle(JUMPS)
    return lambda: 1.7e9 + next(jumps)


def study(folder, **options):
    def begin(data, hypers, key):
        return jax.random.normal(key, (3,)) * hypers["decay"]

    def advance(data, hypers, key, state, segment):
        return state * data, {"loss": jnp.sum(state**2)}

    def finish(data, hypers, key, state):
        return {"end": jnp.sum(state)}

    train = sweep.Training(begin, advance, finish, segments=3)
    grid = sweep.grid(seed=[0, 1], decay=[1.0, 2.0])
    layout = sweep.Layout(1, 1, 2)
    return sweep.run(
        train, grid, jnp.asarray(0.5), layout=layout, folder=folder, **options
    )


def main(folder):
    """Run both."""
    steady = study(Path(folder) / "steady", every=0.0)
    seen, said = [], []
    time.time = jumping()
    jumped = study(
        Path(folder) / "jumped", every=0.0, progress=seen.append, say=said.append
    )
    for name in steady:
        assert jumped[name].equals(steady[name])
    seconds = [news.seconds for news in seen]
    assert seconds == sorted(seconds)
    for measured in (*seconds, *map(jumped.attrs.get, ("run_seconds",))):
        assert 0 <= measured < 600
    assert all("not written in time" in line for line in said)
    print(f"equal, {len(said)} checkpoints late")


if __name__ == "__main__":
    main(sys.argv[1])
