"""Figures on disk: SVG and PNG, the same bytes from the same data."""

from pathlib import Path

from matplotlib.figure import Figure

from wdjax.plots import style
from wdjax.sweep.record import writable_folder


def save_figure(figure: Figure, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``; call it inside ``style.context()``.

    Args:
        figure: what to save.
        stem: path without a suffix.
    """
    writable_folder(stem.parent)
    figure.savefig(stem.with_suffix(".svg"), metadata=style.SVG_METADATA)
    figure.savefig(stem.with_suffix(".png"))
