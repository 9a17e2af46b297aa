"""Read CIFAR's pickles without running what a pickle may contain.

A pickle is a program: unpickling calls whatever it names. CIFAR's Python version
names three things of NumPy; this reader knows those three names and no other, and
what it calls by them is not NumPy's but its own: NumPy's leave memory as they found
it, or trust the shape that a pickle tells them.
"""

import io
import math
import pickle
import pickletools
from types import MappingProxyType
from typing import Any

import numpy as np

from wdjax.data.types import DataError

# Of tuples in one another; CIFAR's have three. To hash deep ones ends the process.
MAX_TUPLES = 1_000


class ForeignGlobalError(pickle.UnpicklingError):
    """The pickle names a function that CIFAR's files do not need."""


class _Named:
    """``numpy.ndarray``, which is only ever handed on."""

    __slots__ = ()


class _Dtype:
    """``numpy.dtype``, of which the name is kept and byte order is of no concern."""

    __slots__ = ("name",)

    def __init__(self, name: Any, *flags: Any) -> None:
        del flags
        self.name = name

    def __setstate__(self, state: Any) -> None:
        del state


class _Array:
    """An array as its pickle describes it."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reconstruct:
    """``_reconstruct``; without slots, so that no pickle can set anything on it."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _Array:
        del arguments
        return _Array()


class _DtypeOf:
    """``numpy.dtype`` as it is called."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _Dtype:
        return _Dtype(*arguments)


ALLOWED_GLOBALS = MappingProxyType(
    {
        ("numpy", "ndarray"): _Named(),
        ("numpy", "dtype"): _DtypeOf(),
        ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
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
        The dictionary; its strings are ``bytes``, its arrays those of bytes, and an
        array of anything else is None.

    Raises:
        DataError: if the pickle names a foreign global, is damaged, or holds
            something else.
    """
    try:
        _check_opcodes(payload)
        content = RestrictedUnpickler(io.BytesIO(payload), encoding="bytes").load()
        if isinstance(content, dict):
            content = {name: _as_array(value) for name, value in content.items()}
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


def _check_opcodes(payload: bytes) -> None:
    """Refuse what would take all memory, or the whole process, before it is run.

    A memo has room for its highest number: a pickle of 20 bytes can ask for 32 GB.
    """
    tuples = 0
    for opcode, argument, _ in pickletools.genops(payload):
        number: Any = argument if "PUT" in opcode.name else None
        if number is not None and number > len(payload):
            raise pickle.UnpicklingError(f"there cannot be {argument:,} values")
        tuples += "TUPLE" in opcode.name
        if tuples > MAX_TUPLES:
            raise pickle.UnpicklingError(f"there are more than {MAX_TUPLES:,} tuples")


def _as_array(value: Any) -> Any:
    """An array of bytes as NumPy's; of anything else, None."""
    if not isinstance(value, _Array):
        return value
    _, shape, dtype, columns_first, content = value.state
    if not isinstance(dtype, _Dtype) or dtype.name not in (b"u1", "u1"):
        return None
    if not isinstance(content, bytes) or len(content) != math.prod(shape):
        raise pickle.UnpicklingError("an array has not as many bytes as its shape says")
    array = np.frombuffer(content, np.uint8)
    return array.reshape(shape, order="F" if columns_first else "C")
