"""A study that does not fit into memory ends with a sentence."""

import contextlib
from collections.abc import Iterator

import jax

from wdjax.sweep import files
from wdjax.sweep.layout import Layout


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory.

    Args:
        error: of Python, NumPy or XLA; XLA's has no class of its own.
    """
    if isinstance(error, MemoryError):
        return True
    exhausted = "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and exhausted


@contextlib.contextmanager
def within(layout: Layout) -> Iterator[None]:
    """Turn a lack of memory into a sentence that says what to do.

    Args:
        layout: of the study inside.

    Raises:
        MemoryError: there was not enough.
    """
    try:
        yield
    except Exception as error:
        if not is_exhausted(error):
            raise
        said = files.first_line(error)
        devices, block, chunk = layout
        half = devices * max(1, chunk // devices // 2)  # devices share it evenly
        raise MemoryError(
            f"The study does not fit into memory ({said}). It trained {block} cells at "
            f"once on each of {devices} devices, with {chunk} in flight; give a "
            f"smaller layout, such as sweep.Layout({devices}, {max(1, block // 2)}, "
            f"{half}), a smaller batch, or fewer cells."
        ) from error
