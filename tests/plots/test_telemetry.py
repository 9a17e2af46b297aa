"""A probe's readings are drawn as they are, one colour for each group."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from wdjax.plots import style, telemetry

STEPS = np.array([10, 20, 30])
GROUP = telemetry.Group("hidden/kernel", "#123456")
FIELDS = (
    "norm",
    "update_norm",
    "decay_norm",
    "step_norm",
    "cosine",
    "rotation",
    "decay_rate",
    "budget",
    "predicted_rotation",
)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def curves():
    rng = np.random.default_rng(0)
    return {field: rng.uniform(0.1, 1, 3) for field in FIELDS}


def is_drawn(line, values):
    x, y = line.get_xydata().T
    np.testing.assert_array_equal(x, STEPS)
    np.testing.assert_array_equal(y, values)
    assert line.get_color() == GROUP.colour


@pytest.mark.parametrize("draw", [telemetry.norm, telemetry.budget])
def test_a_line_holds_what_was_read(ax, curves, draw):
    is_drawn(draw(ax, STEPS, curves, GROUP), curves[draw.__name__])
    assert ax.get_legend_handles_labels()[1] == ["hidden/kernel"]


def test_the_decays_part_is_dashed_and_zeros_are_left_out(ax, curves):
    curves["decay_norm"][1] = 0
    step, decay = telemetry.parts(ax, STEPS, curves, GROUP)
    is_drawn(step, curves["step_norm"])
    is_drawn(decay, np.where([0, 1, 0], np.nan, curves["decay_norm"]))
    assert (step.get_linestyle(), decay.get_linestyle()) == ("-", "--")
    assert ax.get_yscale() == "log"


def test_the_prediction_is_dashed_and_may_be_missing(ax, curves):
    measured, predicted = telemetry.rotation(ax, STEPS, curves, GROUP)
    is_drawn(measured, curves["rotation"])
    is_drawn(predicted, curves["predicted_rotation"])
    assert predicted.get_linestyle() == "--"
    del curves["predicted_rotation"]
    assert len(telemetry.rotation(ax, STEPS, curves, GROUP)) == 1


@pytest.mark.parametrize("predicted", [True, False])
def test_an_overview_draws_the_groups_that_are_shown(curves, predicted):
    readings = {
        f"{group}.{field}": values * factor
        for factor, group in ((1, "a.kernel"), (2, "b"), (3, "b.bias"))
        for field, values in curves.items()
        if predicted or field != "predicted_rotation"
    }
    shown = telemetry.groups(["a.kernel", "b"])
    with style.context():
        figure = Figure()
        axes = figure.subplots(2, 2).ravel()
        telemetry.overview(axes, STEPS, readings, shown)
        figure.draw_without_rendering()
    assert [len(ax.lines) for ax in axes] == [2, 4, 4 if predicted else 2, 2]
    for ax, field in zip(axes[[0, 3]], ("norm", "budget"), strict=True):
        for line, factor in zip(ax.lines, (1, 2), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), factor * curves[field])
    texts = [
        [text.get_text() for text in ax.get_legend().get_texts()]
        if ax.get_legend()
        else []
        for ax in axes
    ]
    third = ["measured", "in equilibrium"] if predicted else []
    assert texts == [["a/kernel", "b"], ["gradient", "decay"], third, []]
    first, second = axes[3].lines
    assert first.get_linewidth() > second.get_linewidth()  # seen beside it
    assert [ax.get_xlabel() for ax in axes] == ["step"] * 4


def test_a_narrow_logarithmic_axis_has_more_than_one_number(curves):
    curves |= {"rotation": np.array([0.006, 0.01, 0.014])}
    del curves["predicted_rotation"]
    readings = {f"a.{field}": values for field, values in curves.items()}
    axes = Figure().subplots(2, 2).ravel()
    telemetry.overview(axes, STEPS, readings, telemetry.groups(["a"]))
    low, high = axes[2].get_ylim()
    assert sum(low <= tick <= high for tick in axes[2].get_yticks()) >= 2
