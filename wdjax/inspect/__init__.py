"""Instruments: what a weight decay means, and what an optimizer makes of it."""

from wdjax.inspect.conversion import Converted, convert
from wdjax.inspect.meanings import MEANINGS, WITHOUT_CONVERSION, Meaning, meaning

__all__ = [
    "MEANINGS",
    "WITHOUT_CONVERSION",
    "Converted",
    "Meaning",
    "convert",
    "meaning",
]
