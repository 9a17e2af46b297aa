"""Curves of errors: what is a gap, what is drawn, and what stays of a figure."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.harness import drawing
from experiments.harness.figures import save_figure


def test_errors_that_are_zero_or_diverged_are_gaps():
    ax = Figure().subplots()
    values = np.array([0.0, 1e-16, 0.5, 200.0, np.inf, np.nan])
    curves = [drawing.Errors(label, values, "black") for label in "ab"]
    drawing.errors(ax, np.arange(6), curves, diverged=1e2)
    drawing.errors(ax, np.arange(6), curves[:1])
    assert ax.get_yscale() == "log"
    first, _, all_finite = (np.isfinite(line.get_ydata()) for line in ax.get_lines())
    np.testing.assert_array_equal(first, [False, True, True, False, False, False])
    np.testing.assert_array_equal(all_finite, [False, True, True, True, False, False])


def test_a_tolerance_lies_behind_the_curves():
    ax = Figure().subplots()
    drawing.errors(ax, np.arange(2), [drawing.Errors("a", np.ones(2), "black")])
    drawing.tolerance(ax, 0.1)
    curve, limit = ax.get_lines()
    assert limit.get_zorder() < curve.get_zorder()
    assert set(limit.get_ydata()) == {0.1}


def test_a_figure_that_finds_no_room_leaves_the_older_one(tmp_path):
    class Half(Figure):
        def savefig(self, path, **_):
            path.write_text("half")
            raise OSError(28, "No space left on device")

    (tmp_path / "some.svg").write_text("older")
    with pytest.raises(OSError, match="No space left"):
        save_figure(Half(), tmp_path / "some")
    assert (tmp_path / "some.svg").read_text() == "older"
