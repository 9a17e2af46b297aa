"""Read CIFAR's pickles without running what a pickle may contain.

A pickle is a program: unpickling calls whatever it names. CIFAR's Python version
names three things of NumPy; this reader knows those three and no other.
"""

import io
import pickle
from types import MappingProxyType
from typing import Any

import numpy as np

from wdjax.data.types import DataError


class ForeignGlobalError(pickle.UnpicklingError):
    """The pickle names a function that CIFAR's files do not need."""


# `_reconstruct` moved from `numpy.core` to the private `numpy._core`; an array tells
# where it is without our naming either.
ALLOWED_GLOBALS = MappingProxyType(
    {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }
)


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that resolves :data:`ALLOWED_GLOBALS` and nothing else."""

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: D102
        if (module, name) not in ALLOWED_GLOBALS:
            raise ForeignGlobalError(f"{module}.{name}")
        return ALLOWED_GLOBALS[module, name]


def read_pickle(payload: bytes, where: str) -> dict[bytes, Any]:
    """Unpickle a dictionary, as written by Python 2.

    Args:
        payload: the file's content.
        where: which file this is, for the message.

    Returns:
        The dictionary; its strings are ``bytes``.

    Raises:
        DataError: if the pickle names a foreign global, is damaged, or holds
            something else.
    """
    try:
        content = RestrictedUnpickler(io.BytesIO(payload), encoding="bytes").load()
    except ForeignGlobalError as error:
        allowed = ", ".join(".".join(key) for key in ALLOWED_GLOBALS)
        raise DataError(
            f"{where} was not read: the pickle asks for {error}, and only {allowed} "
            "are allowed, since a pickle can run any code. It is not the published "
            "file; the binary version needs no pickle."
        ) from error
    except Exception as error:  # a damaged pickle can raise anything at all
        raise DataError(
            f"{where} cannot be unpickled ({type(error).__name__}: {error}): it was "
            "truncated or damaged. Fetch it again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{where} holds a {type(content).__name__} instead of a dictionary. It is "
            "not one of CIFAR's batches: name the folder that holds them."
        )
    return content
