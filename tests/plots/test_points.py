"""Points lie where they were given, moved by so much and no more."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from wdjax.plots import points, style
from wdjax.stats import Interval

X = np.array([0.0, 0.1, 3.0])
INTERVALS = [Interval(1.0, 0.9, 1.2), Interval(2.0, 2.0, 2.0), Interval(0.5, 0.1, 0.6)]


@pytest.fixture
def ax():
    return Figure(dpi=100).subplots()


def test_points_have_their_intervals_and_their_methods_look(ax):
    drawn = points.points(ax, X, INTERVALS, method="AdamW")
    line, _, (bars,) = drawn
    np.testing.assert_array_equal(line.get_xydata().T, [X, [1.0, 2.0, 0.5]])
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, [[0.9, 1.2], [2, 2], [0.1, 0.6]], rtol=1e-12)
    mark = style.METHODS["AdamW"]
    assert (to_hex(line.get_color()).upper(), line.get_marker()) == mark
    assert ax.get_legend_handles_labels()[1] == ["AdamW"]


def test_points_are_moved_on_paper_and_not_in_their_data(ax):
    points.noise_axis(ax, list(X))
    at, moved = (
        points.points(ax, X, INTERVALS, method="SGDW", aside=aside)[0]
        for aside in (0.0, 7.2)
    )
    np.testing.assert_array_equal(at.get_xydata(), moved.get_xydata())
    # 7.2 points are a tenth of an inch, 10 pixels, on either part of the axis.
    here, there = (d.get_transform().transform(d.get_xydata()) for d in (at, moved))
    np.testing.assert_allclose(there - here, np.tile([10.0, 0.0], (3, 1)), atol=1e-9)


def test_the_noise_axis_has_all_its_levels_in_view(ax):
    points.noise_axis(ax, [0.0, 0.1, 1.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1", "1"]
    low, high = ax.get_xlim()
    assert low < 0
    assert high > 1
