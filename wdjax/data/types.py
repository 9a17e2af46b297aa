"""What every loader returns, and what it raises."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8


class DataError(ValueError):
    """A data set is missing, damaged, altered or unsafe to read; says what to do."""


class Split(NamedTuple):
    """Images and their labels, in memory; labels are ``int32``."""

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """One image-classification set; the same type for all of them.

    Attributes:
        name: as it is printed in figures and tables, e.g. ``"CIFAR-10"``.
        citation: whom to cite.
        licence: under which terms the images may be used.
        classes: the name of each label, in the order of the labels.
        train: what training may see.
        validation: what selection may see.
        test: looked at once.
        verified: whether the files are, by checksum, those that were published.
        remark: what else a reader must know of the images, e.g. "re-encoded".
    """

    name: str
    citation: str
    licence: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    verified: bool = True
    remark: str = ""

    @property
    def label(self) -> str:
        """Name, provenance and number of training images, to stamp on outputs."""
        unverified = "" if self.verified else "unverified"
        number = f"n = {len(self.train.labels):,}"
        said = ", ".join(filter(None, (self.remark, unverified, number)))
        return f"{self.name} ({said})"
