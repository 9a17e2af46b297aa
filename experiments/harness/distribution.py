"""Several processes that share one run: who is who, and waiting for one another."""

import os

import jax
from jax.experimental import multihost_utils


def join() -> None:
    """Become one of the processes of a run.

    Slurm, TPU pods and the like say how many there are, and JAX asks them. Elsewhere
    the environment says it: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID.

    Raises:
        ValueError: nobody says it.
    """
    number, total = (
        os.environ.get(name) for name in ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES")
    )
    try:
        jax.distributed.initialize(
            process_id=None if number is None else int(number),
            num_processes=None if total is None else int(total),
        )
    except ValueError as error:
        raise ValueError(
            f"--distributed found no cluster ({error}) Run it under Slurm or on a TPU "
            "pod, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID for each process."
        ) from None


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return jax.process_index() == 0


def wait(name: str) -> None:
    """Until every process has come to the same place."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
