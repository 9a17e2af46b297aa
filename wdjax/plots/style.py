"""One look for all figures, as data: legible where a README shows 900 pixels."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import matplotlib as mpl


class Mark(NamedTuple):
    """How one method is drawn: by colour and by shape, for readers of either."""

    colour: str
    marker: str


# Okabe & Ito's palette (2008), told apart with every common colour vision.
BLUE, GREEN, VERMILLION, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
ORANGE, INK, GREY, PALE = "#E69F00", "#222222", "#8A8A8A", "#C9CED6"

METHODS = {
    "SGD+L2": Mark(BLUE, "o"),
    "SGDW": Mark(GREEN, "s"),
    "Adam+L2": Mark(VERMILLION, "^"),
    "AdamW": Mark(PURPLE, "D"),
}

RC = {
    "axes.edgecolor": INK,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titlepad": 8,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib, so alike everywhere
    "font.size": 10.5,
    "hatch.linewidth": 0.6,
    "image.cmap": "viridis_r",  # low error is bright
    "legend.fontsize": 10,
    "legend.frameon": False,
    "mathtext.fontset": "dejavusans",
    "savefig.dpi": 180,
    "svg.fonttype": "path",
    "svg.hashsalt": "wdjax",  # the same figure is the same file
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}

SVG_METADATA = {"Date": None}  # for ``savefig(…, metadata=…)``: no time stamp


def context() -> AbstractContextManager[None]:
    """Matplotlib's settings for the time of a ``with`` block.

    Saving belongs inside the block too: the salt of an SVG's identifiers is read then.

    Returns:
        A context manager that restores every setting at its end.
    """
    return mpl.rc_context(RC)  # pyright: ignore[reportArgumentType] — keys are plain
