"""A grid is its cells, whatever the layout; nothing is dropped, nothing leaks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep
from wdjax.sweep.cells import cells

SMALL = {"seed": [0, 1], "decay": [0.0, 0.1, 1.0], "learning_rate": [0.01, 0.1]}


def test_the_grid_is_the_product_with_the_last_axis_fastest():
    flat = cells(sweep.grid(**SMALL))
    expected = [(s, d, a) for s in (0, 1) for d in (0, 0.1, 1) for a in (0.01, 0.1)]
    h = flat.hypers
    actual = zip(flat.seed, h["decay"], h["learning_rate"], strict=True)
    assert list(actual) == expected


def test_every_cell_is_its_own_run(dataset, train):
    data = sweep.arrays(dataset)
    result = sweep.run(train, sweep.grid(**SMALL), data)
    assert result.validation_loss.dims == ("seed", "decay", "learning_rate")
    assert result.loss.dims == ("seed", "decay", "learning_rate", "record")
    for seed in SMALL["seed"]:
        for decay in SMALL["decay"]:
            for alpha in SMALL["learning_rate"]:
                hypers = {
                    "learning_rate": jnp.asarray(alpha),
                    "decay": jnp.asarray(decay),
                }
                alone = jax.jit(train)(data, hypers, jax.random.key(seed))
                cell = result.sel(seed=seed, decay=decay, learning_rate=alpha)
                for name, value in alone.items():
                    # The same operations; only fusion may differ: rounding of 12 steps.
                    np.testing.assert_allclose(cell[name], value, rtol=1e-10)


@pytest.mark.parametrize(
    "layout",
    [
        sweep.Layout(devices=1, block=1, chunk=12),
        sweep.Layout(devices=1, block=1, chunk=5),  # the tail is padded
        sweep.Layout(devices=1, block=4, chunk=12),
        sweep.Layout(devices=1, block=5, chunk=7),
        sweep.Layout(devices=2, block=1, chunk=4),
        sweep.Layout(devices=2, block=3, chunk=10),
        sweep.Layout(devices=1, block=64, chunk=64),
    ],
)
def test_every_layout_gives_the_same_results(dataset, train, layout):
    data, grid = sweep.arrays(dataset), sweep.grid(**SMALL)
    reference = sweep.run(train, grid, data, layout=sweep.Layout(1, 1, 1))
    result = sweep.run(train, grid, data, layout=layout)
    assert set(result) == set(reference)
    for name in reference:
        assert result[name].shape == reference[name].shape
        np.testing.assert_allclose(result[name], reference[name], rtol=1e-10)


def test_the_same_layout_gives_the_same_bits(dataset, train):
    data, grid = sweep.arrays(dataset), sweep.grid(**SMALL)
    first, second = (sweep.run(train, grid, data) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("block", [1, 3])
def test_a_diverging_neighbour_changes_no_bit(dataset, linear, block):
    data = sweep.arrays(dataset)
    train = sweep.make_train(*linear, steps=12, batch_size=6, records=4)
    layout = sweep.Layout(devices=1, block=block, chunk=3)
    calm = sweep.grid(seed=[0], decay=[0.1], learning_rate=[0.01, 0.05, 0.1])
    wild = sweep.grid(seed=[0], decay=[0.1], learning_rate=[0.01, 1e300, 0.1])
    a, b = (sweep.run(train, grid, data, layout=layout) for grid in (calm, wild))
    assert b.diverged_at.values.ravel().tolist()[1] >= 0
    assert np.isnan(b.test_error.values.ravel()[1])
    for name in a:
        ours = a[name].isel(learning_rate=[0, 2])
        np.testing.assert_array_equal(ours, b[name].isel(learning_rate=[0, 2]))


def test_a_grid_is_traced_once(dataset, train):
    traces = []

    def counted(*arguments):
        traces.append(1)
        return train(*arguments)

    layout = sweep.Layout(devices=1, block=1, chunk=3)
    sweep.run(counted, sweep.grid(**SMALL), sweep.arrays(dataset), layout=layout)
    assert len(traces) == 1


def test_the_data_set_is_not_in_the_program(linear):
    """CIFAR-sized data: closed over, the text would hold it; as an argument, not."""
    images = jnp.zeros((50_000, 32, 32, 3), jnp.uint8)
    data = {"images": images}

    def train(data, hypers, key):
        return {"x": data["images"][0, 0, 0, 0] * hypers["decay"]}

    def with_constants(_, hypers, key):
        noise = np.random.default_rng(0).normal(size=(300, 300))
        return {"x": (jnp.asarray(noise) * hypers["decay"]).sum()}

    layout = sweep.Layout(devices=1, block=1, chunk=2)
    grid = sweep.grid(seed=[0], decay=[1.0, 2.0])

    def size(train):
        return len(sweep.lower(train, grid, data, layout).advance.as_text())

    assert size(train) < 1e6
    assert size(with_constants) > 1e6  # so the bound can fail


def test_a_real_network_on_cifar_sized_data_stays_small_as_text(linear):
    models = pytest.importorskip("wdjax.models", reason="needs Flax")
    network = models.cnn(normalise=True)
    _, _, make_optimizer = linear
    train = sweep.make_train(
        network.init, network.apply, make_optimizer, steps=20, batch_size=128
    )
    examples = sweep.Examples(
        jnp.zeros((45_000, 32, 32, 3), jnp.uint8), jnp.zeros(45_000, jnp.int32)
    )
    data = sweep.Arrays(examples, examples, examples, jnp.zeros(3), jnp.ones(3))
    grid = sweep.grid(**SMALL)
    for program in sweep.lower(train, grid, data, sweep.Layout(1, 1, 4)):
        assert len(program.as_text()) < 1e6


def test_progress_is_reported_after_each_segment(dataset, train):
    seen = []
    layout = sweep.Layout(devices=1, block=1, chunk=5)
    grid = sweep.grid(**SMALL)
    result = sweep.run(
        train, grid, sweep.arrays(dataset), layout=layout, progress=seen.append
    )
    assert [p.cells_done for p in seen] == [0] * 4 + [5] * 4 + [10] * 4 + [12]
    assert {p.cells for p in seen} == {12}
    shares = [5 * i / 48 for i in range(1, 5)]
    shares += [(20 + 5 * i) / 48 for i in range(1, 5)]
    shares += [(40 + 2 * i) / 48 for i in range(1, 5)] + [1.0]
    np.testing.assert_allclose([p.share for p in seen], shares)
    flat = result.loss.values.reshape(12, 4)
    assert seen[6].best_loss == min(flat[:5, 3].min(), flat[5:10, 2].min())
    assert seen[-1].best_loss == flat[:, 3].min()


def test_a_block_shares_its_seed_and_its_minibatches(dataset, linear):
    """Of a batched gather there is none: the data are indexed once for a block."""
    init, apply, make_optimizer = linear
    data = sweep.arrays(dataset)
    train = sweep.make_train(
        init, apply, make_optimizer, steps=4, batch_size=6, records=1
    )
    lowered = sweep.lower(train, sweep.grid(**SMALL), data, sweep.Layout(1, 3, 6))
    text = lowered.advance.as_text()
    assert "3x6x2x2x3xui8" not in text
    assert "6x2x2x3xui8" in text  # the minibatch is there


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seed": []}, "axis 'seed' is empty"),
        ({"seed": 0}, r"axis 'seed' is 0; give a list of values, such as \[0\]"),
        ({"seed": [0], "decay": 0.1}, "axis 'decay' is 0.1; give a list of values"),
        ({"seed": [0], "decay": "0.1"}, "axis 'decay' is '0.1'; give a list"),
        ({"seed": [0], "decay": np.array(0.1)}, r"axis 'decay' is array\(0.1\); give"),
        ({"seed": [0, 0.5]}, "axis 'seed' .*0.5.*integers only"),
        ({"seed": [0], "opt": ["adam", "sgd"]}, "axis 'opt' .*'adam'.*run_static"),
        ({"seed": [0], "decay": []}, "axis 'decay' is empty"),
        ({"seed": [0], "decay": [0.1, np.nan]}, "axis 'decay' holds nan"),
        ({"seed": [0], "decay": [0.1, 0.2, 0.1]}, "axis 'decay' holds 0.1 twice"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_a_bad_axis_is_named(axes, message):
    with pytest.raises(ValueError, match=message):
        sweep.grid(**axes)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (sweep.Layout(devices=99, block=1, chunk=99), "layout.devices is 99"),
        (sweep.Layout(devices=1, block=0, chunk=1), "layout.block is 0"),
        (sweep.Layout(devices=2, block=1, chunk=3), "layout.chunk is 3"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(dataset, train, layout, message):
    with pytest.raises(ValueError, match=message):
        sweep.run(train, sweep.grid(**SMALL), sweep.arrays(dataset), layout=layout)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("size", [1, 2, 7, 16, 1000])
def test_the_default_layout_fits_its_devices(monkeypatch, backend, size):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    devices, block, chunk = sweep.default_layout(size)
    assert devices == min(2, size)
    assert chunk % devices == 0
    assert block <= chunk // devices <= max(size, devices)
    assert block == 1 if backend == "cpu" else 1 <= block <= 64


def test_a_data_set_is_no_argument_of_a_program(dataset, train):
    with pytest.raises(ValueError, match=r"set random; .*sweep\.arrays\(dataset\)"):
        sweep.run(train, sweep.grid(**SMALL), dataset)


def test_curves_are_labelled_by_the_steps_of_their_records(dataset, train):
    grid = sweep.grid(seed=[0], decay=[0.1], learning_rate=[0.1])
    steps = np.array([3, 6, 9, 12])
    result = sweep.run(train, grid, sweep.arrays(dataset), record_steps=steps)
    np.testing.assert_array_equal(result.loss.record, steps)
