"""Whole studies as one program: a training function over a labelled grid.

===========  ==============================================================
`batches`    a data set on the device, shuffled and batched there
`evaluate`   mean loss and error over whole splits
`train`      one run as a pure function: ``make_train``
`schedules`  the multipliers η_t
`cells`      the labelled product of what varies
`engine`     a grid through one compiled program
`record`     results on disk, with all that is needed to repeat them
===========  ==============================================================
"""

try:
    import xarray as _xarray  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "wdjax.sweep labels its results with xarray, which is not installed: "
        'run `pip install "wdjax[experiments]"`.'
    ) from error

from wdjax.sweep.batches import Arrays, Examples, arrays
from wdjax.sweep.cells import Grid, grid
from wdjax.sweep.engine import Layout, Progress, default_layout, lower, prepare, run
from wdjax.sweep.record import load, save
from wdjax.sweep.schedules import SCHEDULES, constant, cosine, step
from wdjax.sweep.train import make_train

__all__ = [
    "SCHEDULES",
    "Arrays",
    "Examples",
    "Grid",
    "Layout",
    "Progress",
    "arrays",
    "constant",
    "cosine",
    "default_layout",
    "grid",
    "load",
    "lower",
    "make_train",
    "prepare",
    "run",
    "save",
    "step",
]
