"""What is drawn is what was given, and nothing outlives the figure."""

import importlib
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from wdjax import plots, stats
from wdjax.plots import curves, heat_map, quadratics, style

H = np.array([[2.0, 0.5], [0.5, 1.0]])
THETA_STAR = np.array([1.0, -0.5])
LEARNING_RATES = np.array([0.01, 0.1, 1.0, 10.0])
DECAYS = np.array([1e-4, 1e-3, 1e-2])


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def errors():
    return np.random.default_rng(0).uniform(50, 60, size=(3, 4))


NONE = np.zeros((3, 4), bool)


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def test_contours_lie_at_their_levels(ax):
    limits = {"xlim": (-2.0, 3.0), "ylim": (-2.0, 2.0)}
    drawn = quadratics.contours(ax, H, THETA_STAR, levels=(0.5, 1.0), **limits)
    assert (ax.get_xlim(), ax.get_ylim()) == tuple(limits.values())
    for level, path in zip((0.5, 1.0), drawn.get_paths(), strict=True):
        offset = path.vertices - THETA_STAR
        height = np.einsum("ni,ij,nj->n", offset, H, offset) / 2
        # Linear interpolation over cells of 1/40: second order in the cell, times H.
        np.testing.assert_allclose(height, level, atol=2e-3)


def test_trajectory_and_limit_path_draw_their_points(ax):
    theta = np.random.default_rng(0).normal(size=(5, 2))
    for draw in (quadratics.trajectory, quadratics.limit_path):
        line = draw(ax, theta, label="run", colour="#123456", linewidth=3)
        np.testing.assert_array_equal(line.get_xydata(), theta)
        assert (line.get_color(), line.get_linewidth()) == ("#123456", 3)
    assert labels(ax) == ["run", "run"]


def test_pulls_are_true_to_scale(ax):
    theta = np.random.default_rng(0).normal(size=(5, 2))
    arrows = quadratics.pulls(ax, theta, -0.1 * theta, label="pull")
    np.testing.assert_array_equal(arrows.XY, theta)
    np.testing.assert_array_equal(np.stack([arrows.U, arrows.V], 1), -0.1 * theta)
    assert (arrows.angles, arrows.scale_units, arrows.scale) == ("xy", "xy", 1)


def test_point_is_named_where_it_is(ax):
    name = quadratics.point(ax, THETA_STAR, "here")
    assert (name.get_text(), name.xy) == ("here", tuple(THETA_STAR))
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [THETA_STAR])


def test_heat_map_draws_each_error_in_its_cell(ax, errors):
    mesh = heat_map.error_heat_map(ax, LEARNING_RATES, DECAYS, errors, diverged=NONE)
    np.testing.assert_array_equal(mesh.get_array(), errors)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    corners = mesh.get_coordinates()
    # Each grid value is the geometric middle of its cell.
    x, y = corners[0, :, 0], corners[:, 0, 1]
    np.testing.assert_allclose(np.sqrt(x[1:] * x[:-1]), LEARNING_RATES, rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(y[1:] * y[:-1]), DECAYS, rtol=1e-12)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (errors.min(), errors.max())
    assert not ax.patches


def test_the_strip_without_decay_lies_beyond_a_gap(ax, errors):
    zero = np.array([70.0, 71.0, 72.0, 73.0])
    mesh = heat_map.error_heat_map(
        ax, LEARNING_RATES, DECAYS, errors, diverged=NONE, zero_errors=zero
    )
    strip = next(drawn for drawn in ax.collections if drawn is not mesh)
    np.testing.assert_array_equal(strip.get_array(), zero[None])
    assert mesh.norm is strip.norm
    assert mesh.norm.vmax == 73.0
    low, top = strip.get_coordinates()[:, 0, 1]
    assert ax.get_ylim()[0] == low < top < mesh.get_coordinates()[0, 0, 1]
    position, label = ax.get_yticks()[0], ax.get_yticklabels()[0].get_text()
    assert label == "0"
    assert low < position < top


def test_diverged_cells_are_hatched_and_named_once(ax, errors):
    diverged = NONE.copy()
    diverged[2, 3] = True
    errors[1, 0] = np.inf
    zero = np.array([60.0, 60.0, 60.0, np.nan])
    mesh = heat_map.error_heat_map(
        ax, LEARNING_RATES, DECAYS, errors, diverged=diverged, zero_errors=zero
    )
    hatched = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert all(patch.get_hatch() for patch in hatched)
    centres = {
        (
            round(float(np.log10(np.sqrt(p.get_x() * (p.get_x() + p.get_width()))))),
            p.get_y() < 3e-5,  # the strip
        )
        for p in hatched
    }
    assert centres == {(-2, False), (1, False), (1, True)}
    assert labels(ax) == ["diverged"]
    expected = np.isinf(errors) | diverged
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), expected)


def test_one_colour_scale_serves_two_maps(errors):
    norm = Normalize(0, 100)
    for ax in Figure().subplots(1, 2):
        mesh = heat_map.error_heat_map(
            ax, LEARNING_RATES, DECAYS, errors, diverged=NONE, norm=norm
        )
        assert mesh.norm is norm
    assert (norm.vmin, norm.vmax) == (0, 100)


@pytest.mark.parametrize("decay", [1e-3, 0.0])
def test_the_best_cell_wears_a_ring(ax, errors, decay):
    zero = np.full(4, 60.0)
    arguments = {"diverged": NONE, "zero_errors": zero, "best": (0.1, decay)}
    heat_map.error_heat_map(ax, LEARNING_RATES, DECAYS, errors, **arguments)
    ring = next(line for line in ax.lines if line.get_label() == "best")
    ((x, y),) = ring.get_xydata()
    assert x == 0.1
    assert y == (decay or ax.get_yticks()[0])


def test_everything_may_have_diverged(ax, errors):
    with style.context():
        heat_map.error_heat_map(
            ax, LEARNING_RATES, DECAYS, errors, diverged=np.ones((3, 4), bool)
        )
        ax.figure.draw_without_rendering()
    assert len(ax.patches) == 12


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (2.0 ** np.arange(-4, 3), ["0.062", "0.25", "1", "4"]),
        (10.0 ** np.arange(-5, 0), [f"$10^{{{p}}}$" for p in range(-5, 0)]),
        (10.0 ** (np.arange(-8, 5) / 2), [f"$10^{{{p}}}$" for p in (-4, -2, 0, 2)]),
        (np.array([1e-4, 2e-4]), [r"$1\!\cdot\!10^{-4}$", r"$2\!\cdot\!10^{-4}$"]),
    ],
)
def test_few_ticks_in_one_style(ax, values, expected):
    grid = np.zeros((3, len(values)))
    heat_map.error_heat_map(ax, values, DECAYS, grid, diverged=grid > 0)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == expected


def test_a_sheared_map_centres_each_cell_on_its_own_decay(ax, errors):
    decays = DECAYS[:, None] * LEARNING_RATES[None, :]
    errors[0, 2] = np.nan
    norm = Normalize(0, 100)
    mesh = heat_map.sheared_heat_map(ax, LEARNING_RATES, decays, errors, norm=norm)
    for j, column in enumerate(ax.collections):
        np.testing.assert_array_equal(
            column.get_array().filled(np.nan)[:, 0], errors[:, j]
        )
        x, y = column.get_coordinates()[0, :, 0], column.get_coordinates()[:, 0, 1]
        np.testing.assert_allclose(np.sqrt(x[0] * x[1]), LEARNING_RATES[j])
        np.testing.assert_allclose(np.sqrt(y[1:] * y[:-1]), decays[:, j])
    assert mesh.norm is norm
    low, high = ax.get_ylim()
    assert low < decays.min() < decays.max() < high
    assert labels(ax) == ["diverged"]
    assert len(ax.patches) == 1


def test_ridge_draws_the_points_and_both_slopes(ax):
    ax.set(xscale="log", yscale="log")
    best = np.array([4e-3, 1e-3, np.nan, 2e-5])
    points, fitted, predicted = heat_map.ridge(
        ax, LEARNING_RATES, best, slope=-0.8, predicted_slope=-1.0
    )
    kept = [0, 1, 3]
    drawn = np.stack([LEARNING_RATES, best], axis=1)[kept]
    np.testing.assert_allclose(points.get_xydata(), drawn, rtol=1e-12)
    centroid = np.log(drawn).mean(axis=0)
    for line, slope in ((fitted, -0.8), (predicted, -1.0)):
        x, y = np.log(line.get_xydata()).T
        np.testing.assert_allclose(y - centroid[1], slope * (x - centroid[0]))
    assert (fitted.get_linestyle(), predicted.get_linestyle()) == ("-", "--")
    assert labels(ax) == ["fitted slope −0.80", "predicted slope −1", r"$\lambda^*$"]


def test_ridge_without_points_or_slope_draws_nothing(ax):
    ax.set(xscale="log", yscale="log")
    nothing = np.full(4, np.nan)
    lines = heat_map.ridge(
        ax, LEARNING_RATES, nothing, slope=np.nan, predicted_slope=-1.0
    )
    assert all(len(line.get_xydata()) == 0 for line in lines)


def test_error_against_loss_draws_its_cells(ax):
    loss, error = np.array([0.1, 1.0, 2.0]), np.array([50.0, 55.0, 60.0])
    dots = curves.error_against_loss(ax, loss, error, label="a", colour="#123456")
    np.testing.assert_array_equal(dots.get_offsets(), np.stack([loss, error], 1))
    assert to_hex(dots.get_facecolor()[0]) == "#123456"
    assert ax.get_xscale() == "log"


def test_intervals_draw_point_and_arms_from_the_top(ax):
    rows = [stats.Interval(50.0, 49.0, 52.0), stats.Interval(55.0, np.nan, np.nan)]
    rows.append(stats.UNKNOWN)
    drawn = curves.intervals(ax, ["a", "b", "c"], rows, colours=["r", "g", "b"])
    points, _, (arm,) = drawn[0]
    np.testing.assert_array_equal(points.get_xydata(), [[50.0, 0.0]])
    np.testing.assert_array_equal(arm.get_segments()[0], [[49.0, 0.0], [52.0, 0.0]])
    np.testing.assert_array_equal(drawn[1][0].get_xydata(), [[55.0, 1.0]])
    assert [text.get_text() for text in ax.texts] == ["no finite result"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_the_style_is_gone_after_its_block():
    with mpl.rc_context({"svg.hashsalt": None, "font.size": 9.0}):
        before = dict(mpl.rcParams)
        with style.context():
            assert mpl.rcParams["svg.hashsalt"] == "wdjax"
        assert dict(mpl.rcParams) == before


def test_methods_differ_in_colour_and_in_shape():
    assert list(style.METHODS) == ["SGD+L2", "SGDW", "Adam+L2", "AdamW"]
    colours, markers = zip(*style.METHODS.values(), strict=True)
    assert len(set(colours)) == len(set(markers)) == 4


def test_plots_never_import_pyplot():
    """In a process of its own: here, another test may have imported it."""
    code = "import sys, wdjax.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "wdjax\[experiments\]"'):
        importlib.reload(plots)
