"""Static settings are dimensions like others, a program for each of their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wdjax
from wdjax import sweep
from wdjax.sweep.store import StoreError

STATIC = {"width": [3, 2], "batch_size": [4, 5, 6]}
GRID = sweep.grid([1, 0], decay=[0.0, 0.1], learning_rate=[0.01, 0.1])
LAYOUT = sweep.Layout(devices=1, block=1, chunk=4)


class Killed(BaseException):
    """Nothing in the engine expects it, as nothing expects SIGKILL."""


def make(width, batch_size, records=2):
    """One hidden layer."""

    def init(key):
        first, second = jax.random.split(key)
        kernels = (0.1 * jax.random.normal(first, (12, width)),)
        return (*kernels, 0.1 * jax.random.normal(second, (width, 3)))

    def apply(params, images):
        x = images.reshape(images.shape[0], -1)
        return jnp.tanh(x @ params[0]) @ params[1]

    def optimizer(h):
        return wdjax.adamw(h["learning_rate"], h["decay"])

    return sweep.make_train(
        init, apply, optimizer, steps=4, batch_size=batch_size, records=records
    )


def test_each_setting_is_a_run_of_its_own(dataset):
    data = sweep.arrays(dataset)
    result = sweep.run_static(make, STATIC, GRID, data, layout=LAYOUT)
    assert result.test_loss.dims == ("width", "batch_size", *GRID.dims)
    assert result.loss.dims == ("width", "batch_size", *GRID.dims, "record")
    assert result.width.values.tolist() == [3, 2]  # in the order that was given
    for width in STATIC["width"]:
        for size in STATIC["batch_size"]:
            alone = sweep.run(make(width, size), GRID, data, layout=LAYOUT)
            ours = result.sel(width=width, batch_size=size)
            assert set(ours) == set(alone)
            for name in alone:
                np.testing.assert_array_equal(ours[name], alone[name])
    assert result.attrs["layout"] == str(LAYOUT._asdict())
    assert result.attrs["run_seconds"] > 0


def powers(power, kind="plus"):
    """Not a training, but its result tells setting and cell."""
    sign = {"plus": 1, "minus": -1}[kind]
    return lambda data, h, key: {"y": data * sign * h["x"] ** power}


def test_designs_names_and_files(tmp_path):
    static = {"kind": ["plus", "minus"], "power": [1, 3, 2]}
    plan = sweep.points([0], x=[2.0, 0.5])
    result = sweep.run_static(powers, static, plan, jnp.ones(()))
    assert result.y.dims == ("kind", "power", "seed", "point")
    for kind, sign in (("plus", 1), ("minus", -1)):
        for power in (1, 2, 3):
            y = result.y.sel(kind=kind, power=power, seed=0)
            np.testing.assert_allclose(y, sign * result.x**power, rtol=1e-15)
    sweep.save(result, tmp_path / "result.nc")
    assert sweep.load(tmp_path / "result.nc").identical(result)


def test_what_was_stopped_goes_on_where_it_was(tmp_path, dataset):
    data, static = sweep.arrays(dataset), {"width": [3, 2], "batch_size": [6]}
    options = {"layout": LAYOUT, "every": 0.0}
    whole = sweep.run_static(make, static, GRID, data, **options)
    calls = []

    def kill(news):  # 2 chunks of 2 segments and a last word make 5 to a setting
        calls.append(news)
        if len(calls) == 5 + 3:
            raise Killed

    options |= {"folder": tmp_path / "study"}
    with pytest.raises(Killed):
        sweep.run_static(make, static, GRID, data, progress=kill, **options)
    folders = sorted(path.name for path in (tmp_path / "study").iterdir())
    assert folders == ["width=2,batch_size=6", "width=3,batch_size=6"]
    seen = []
    options |= {"resume": True, "progress": seen.append}
    resumed = sweep.run_static(make, static, GRID, data, **options)
    for name in whole:
        np.testing.assert_array_equal(whole[name], resumed[name])
    assert len(seen) <= 1 + 2 + 1  # at most the last segment was lost
    seen.clear()
    wider = sweep.run_static(make, static | {"width": [3, 4, 2]}, GRID, data, **options)
    assert len(seen) == 1 + 5 + 1  # only the new one is trained
    for name in whole:
        np.testing.assert_array_equal(whole[name], wider[name].sel(width=[3, 2]))


def test_the_folder_of_another_setting_is_refused(tmp_path):
    plan, data = sweep.points([0], x=[2.0]), jnp.ones(())
    options = {"folder": tmp_path, "configuration": {"model": "power"}}
    sweep.run_static(powers, {"power": [1]}, plan, data, **options)
    (tmp_path / "power=1").rename(tmp_path / "power=2")
    message = r"configuration.static.power was 1, is 2; program was"
    with pytest.raises(StoreError, match=message):
        sweep.run_static(powers, {"power": [2]}, plan, data, resume=True, **options)


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"power": []}, r"'power' has the values \[\]; give at least one"),
        ({"power": [1, 2, 1]}, "none of them twice"),
        ({"power": [1, "2"]}, "give numbers or names, and let `make` look up"),
        ({"power": [jnp.tanh]}, "give numbers or names, and let `make` look up"),
        ({"power": ["1/2"]}, "so choose some without a slash"),
        ({"x": [1]}, r"\['x'\] are named like dimensions"),
        ({"record": [1], "point": [1]}, r"\['point', 'record'\] are named like"),
    ],
)
def test_settings_that_cannot_be_labels_are_refused(static, message):
    with pytest.raises(ValueError, match=message):
        sweep.run_static(powers, static, sweep.points([0], x=[1.0]), jnp.ones(()))


def test_settings_with_different_outcomes_are_refused_before_they_train(dataset):
    seen = []
    message = r"loss has the shape \(1,\) for records=1, and \(2,\) for records=2; let"
    with pytest.raises(ValueError, match=message):
        sweep.run_static(
            lambda records: make(2, 4, records),
            {"records": [1, 2]},
            GRID,
            sweep.arrays(dataset),
            progress=seen.append,
        )
    assert not seen
