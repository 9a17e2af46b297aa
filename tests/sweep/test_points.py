"""A design is its points; the engine labels it as it labels a grid."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep
from wdjax.sweep.cells import Plan, cells
from wdjax.sweep.store import StoreError

POINTS = {"decay": [0.0, 0.1, 1.0, 0.1], "learning_rate": [0.1, 0.01, 0.05, 0.1]}
LAYOUT = sweep.Layout(devices=1, block=1, chunk=3)


def linear_in(data, hypers, key):
    """No training, but its result tells the cell."""
    return {"sum": data + 10 * hypers["decay"] + hypers["learning_rate"]}


def test_the_cells_of_a_design_are_its_points_for_each_seed_in_turn():
    flat = cells(sweep.points(seed=[7, 3], **POINTS))
    pairs = list(zip(POINTS["decay"], POINTS["learning_rate"], strict=True))
    h = flat.hypers
    actual = zip(flat.seed, h["decay"], h["learning_rate"], strict=True)
    assert list(actual) == [(s, *pair) for s in (7, 3) for pair in pairs]


@pytest.mark.parametrize(
    "plan", [sweep.points([0], a=[1.0]), sweep.grid([0, 1], a=[1.0, 2.0], b=[3.0])]
)
def test_grids_and_designs_are_all_that_the_engine_asks_of_a_plan(plan):
    assert isinstance(plan, Plan)
    assert plan.dims[0] == "seed"
    assert plan.size == np.prod(plan.shape) == len(cells(plan).seed)
    assert set(plan.varies) == {"seed", *cells(plan).hypers}


def test_a_design_has_the_labels_of_its_points():
    design = sweep.points(seed=[7, 3], **POINTS)
    result = sweep.run(linear_in, design, jnp.ones(()), layout=LAYOUT)
    assert result["sum"].dims == ("seed", "point")
    for name, values in POINTS.items():
        assert result[name].dims == ("point",)
        np.testing.assert_array_equal(result[name], values)
    by_hand = 1 + 10 * result.decay + result.learning_rate
    # The program may add in another order than NumPy.
    np.testing.assert_allclose(result["sum"].sel(seed=3), by_hand, rtol=1e-15)
    chosen = result.sel(point=result.decay == 0.1)
    np.testing.assert_array_equal(chosen.point, [1, 3])


def test_every_point_is_the_cell_of_a_grid(dataset, train):
    """The same program; the points are two cells of the product."""
    data = sweep.arrays(dataset)
    axes = {"decay": [0.0, 1.0], "learning_rate": [0.01, 0.1]}
    grid = sweep.run(train, sweep.grid([0, 1], **axes), data, layout=LAYOUT)
    design = sweep.points([0, 1], decay=[1.0, 0.0], learning_rate=[0.01, 0.1])
    result = sweep.run(train, design, data, layout=LAYOUT)
    assert result.loss.dims == ("seed", "point", "record")
    assert set(result) == set(grid)
    for point in range(2):
        ours = result.isel(point=point)
        hypers = {name: float(ours[name]) for name in axes}
        for name in grid:
            np.testing.assert_array_equal(ours[name], grid.sel(hypers)[name])


def test_another_design_in_the_folder_is_refused(tmp_path):
    def run(plan, **options):
        options = {"layout": LAYOUT, "folder": tmp_path} | options
        return sweep.run(linear_in, plan, jnp.ones(()), **options)

    first = run(sweep.points([0], **POINTS))
    again = run(sweep.points([0], **POINTS), resume=True)
    np.testing.assert_array_equal(first["sum"], again["sum"])
    other = POINTS | {"decay": [0.0, 0.1, 1.0, 0.2]}
    with pytest.raises(StoreError, match=r"grid.decay was .*0.1\], is .*0.2\]"):
        run(sweep.points([0], **other), resume=True)


def test_a_grid_in_the_folder_of_a_design_is_refused(tmp_path):
    same = {"decay": [0.0, 1.0], "learning_rate": [0.1, 0.01]}
    options = {"layout": sweep.Layout(1, 1, 1), "folder": tmp_path}
    sweep.run(linear_in, sweep.points([0], **same), jnp.ones(()), **options)
    with pytest.raises(StoreError, match=r"grid.point was \[0, 1\], is null"):
        sweep.run(
            linear_in, sweep.grid([0], **same), jnp.ones(()), resume=True, **options
        )


@pytest.mark.parametrize(
    ("hypers", "message"),
    [
        ({}, "give at least one"),
        ({"point": [1.0]}, "none the name 'point'"),
        ({"a": []}, "axis 'a' is empty"),
        ({"a": [np.inf]}, "axis 'a' holds inf"),
        ({"a": [1.0], "b": [1.0, 2.0]}, r"\{'a': 1, 'b': 2\}; give one of each"),
    ],
)
def test_bad_points_are_named(hypers, message):
    with pytest.raises(ValueError, match=message):
        sweep.points([0], **hypers)


def test_a_seed_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="axis 'seed' holds 1 twice"):
        sweep.points([1, 1], a=[0.0])
