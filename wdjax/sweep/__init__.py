"""Whole studies as one program: a training function over labelled cells.

===============  =======================================================================
`batches`        a data set on the device, shuffled and batched there
`label_noise`    wrong labels in a training set
`augment`        crops, flips and masks of a minibatch, drawn in the program
`evaluate`       mean loss and error over whole splits
`population`     statistics of batch normalisation, for evaluation
`training`       what the engine can run: a pure function, cut into segments
`train`          one run on images as such: ``make_train``
`schedules`      the multipliers η_t
`cells`          what varies: a labelled product, or labelled points
`ranges`         where a hyper-parameter is looked for, and how densely
`design`         points that fill a box of ranges
`layout`         which cell sits where: devices, blocks, chunks
`programs`       a training over the cells of a chunk, compiled
`files`          whole, sealed with a digest, locked
`study`          a grid, ready to be trained segment by segment
`checkpoints`    chunks in flight, on disk
`store`          a study's folder, in which nothing is lost
`memory`         what does not fit ends with a sentence
`measure`        a layout by timing some, within the memory there is
`engine`         a grid from its first cell to the labelled result
`labels`         flat results under their names
`metric`         by what points are compared
`halving`        the worst stop early: successive halving
`optuna_search`  Optuna proposes, in batches
`static`         what cannot be traced: a program for each setting
`record`         results on disk, with all that is needed to repeat them
===============  =======================================================================
"""

try:
    import xarray as _xarray  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "wdjax.sweep labels its results with xarray, which is not installed: "
        'run `pip install "wdjax[experiments]"`.'
    ) from error

from wdjax.sweep.augment import cutout, in_turn, random_crop, random_flip
from wdjax.sweep.batches import Arrays, Examples, arrays
from wdjax.sweep.cells import Design, Grid, grid, points
from wdjax.sweep.design import design
from wdjax.sweep.engine import Progress, lower, prepare, run
from wdjax.sweep.halving import successive_halving
from wdjax.sweep.label_noise import with_label_noise
from wdjax.sweep.layout import Layout, default_layout
from wdjax.sweep.measure import measured_layout
from wdjax.sweep.optuna_search import search
from wdjax.sweep.ranges import LogUniform, Uniform
from wdjax.sweep.record import load, save
from wdjax.sweep.schedules import (
    SCHEDULES,
    constant,
    cosine,
    step,
    warm_restarts,
    warm_up,
    warm_up_cosine,
)
from wdjax.sweep.static import run_static
from wdjax.sweep.train import make_train
from wdjax.sweep.training import Training

__all__ = [
    "SCHEDULES",
    "Arrays",
    "Design",
    "Examples",
    "Grid",
    "Layout",
    "LogUniform",
    "Progress",
    "Training",
    "Uniform",
    "arrays",
    "constant",
    "cosine",
    "cutout",
    "default_layout",
    "design",
    "grid",
    "in_turn",
    "load",
    "lower",
    "make_train",
    "measured_layout",
    "points",
    "prepare",
    "random_crop",
    "random_flip",
    "run",
    "run_static",
    "save",
    "search",
    "step",
    "successive_halving",
    "warm_restarts",
    "warm_up",
    "warm_up_cosine",
    "with_label_noise",
]
