"""The table of data sets: a name, and the function that loads it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from wdjax import check
from wdjax.data.cifar import load_cifar
from wdjax.data.cifar_tables import CIFAR10, CIFAR100
from wdjax.data.digits import digits
from wdjax.data.fashion_mnist import load_fashion_mnist
from wdjax.data.photos import photos10
from wdjax.data.types import Dataset

SHIPPED: Mapping[str, Callable[[], Dataset]] = MappingProxyType(
    {"photos10": photos10, "digits": digits}
)
SUPPLIED: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "fashion_mnist": load_fashion_mnist,
        "cifar10": partial(load_cifar, CIFAR10),
        "cifar100": partial(load_cifar, CIFAR100),
    }
)
NAMES = (*SHIPPED, *SUPPLIED)


def load(
    name: str, folder: str | Path | None = None, *, allow_unverified: bool = False
) -> Dataset:
    """Load a data set by name.

    Args:
        name: ``photos10`` (comes with wdjax), ``digits`` (comes with scikit-learn),
            ``fashion_mnist``, ``cifar10`` or ``cifar100`` (supplied by the user).
        folder: where the user's copy is. ``fashion_mnist`` is looked for in Debian's
            folder if none is given; the sets that come with a package take none.
        allow_unverified: accept files that are not, by checksum, those published, and
            stamp the result as unverified; see :attr:`Dataset.label`.

    Returns:
        The set, in memory.

    Raises:
        ValueError: if the name is unknown, or a folder is given to a set that takes
            none.
        DataError: if the files are missing, damaged, altered or unsafe to read.
    """
    if name in SHIPPED:
        if folder is not None:
            raise ValueError(
                f"folder = {str(folder)!r} was given, but the set {name!r} comes with "
                "its package and takes no folder; leave it out."
            )
        return SHIPPED[name]()
    if name in SUPPLIED:
        place = None if folder is None else Path(folder).expanduser()
        return SUPPLIED[name](place, allow_unverified=allow_unverified)
    raise ValueError(
        f"name = {name!r} is no data set of wdjax. {check.nearest(name, NAMES)}"
    )
