"""float64, no silent broadcasting, and a cache of compiled programs for each worker."""

import os
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)  # so that cells are spread over devices
worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # two would write one file at once
jax.config.update(
    "jax_compilation_cache_dir",
    str(Path(__file__).parents[1] / ".cache" / "jax" / worker),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
