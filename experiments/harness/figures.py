"""Figures on disk: SVG and PNG, the same bytes from the same data."""

from pathlib import Path

from matplotlib.figure import Figure

from wdjax.plots import style
from wdjax.sweep import files
from wdjax.sweep.record import writable_folder


def save_figure(figure: Figure, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``; call it inside ``style.context()``.

    Each is there whole or not at all.

    Args:
        figure: what to save.
        stem: path without a suffix.
    """
    writable_folder(stem.parent)
    for kind, metadata in (("svg", style.SVG_METADATA), ("png", None)):
        # Not with_suffix(), which takes what follows a point in the name.
        with files.whole(stem.with_name(f"{stem.name}.{kind}")) as partial:
            figure.savefig(partial, format=kind, metadata=metadata)
