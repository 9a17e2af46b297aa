"""A layout is chosen by what was timed, and by what fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep
from wdjax.sweep import engine, measure

GRID = sweep.grid(seed=[0, 1], decay=[0.0, 0.1, 1.0], learning_rate=[0.01, 0.1])
SLOW, FAST = sweep.Layout(2, 1, 4), sweep.Layout(1, 3, 6)


@pytest.fixture
def prepare(dataset):
    data = sweep.arrays(dataset)
    return lambda training, layout: sweep.prepare(training, GRID, data, layout)


def test_the_fastest_is_taken_and_each_is_told(train, prepare, monkeypatch):
    times = {SLOW: 2e-3, FAST: 1e-3}
    monkeypatch.setattr(
        measure, "seconds_per_cell_step", lambda study: times[study.layout]
    )
    said = []
    chosen = sweep.measured_layout(
        train, GRID, prepare, candidates=[SLOW, FAST, SLOW], say=said.append
    )
    assert chosen == FAST
    assert said[0] == "2 devices, blocks of 1, chunks of 4: 2.000 ms a cell-step"


def test_what_does_not_fit_is_not_timed(train, prepare, monkeypatch):
    needs = measure.bytes_per_device(prepare(train.shortened(5), FAST))
    monkeypatch.setattr(measure, "device_memory", lambda: needs)  # 90 % of it is less
    timed = []
    monkeypatch.setattr(measure, "seconds_per_cell_step", timed.append)
    said = []
    with pytest.raises(ValueError, match="No layout fits"):
        sweep.measured_layout(train, GRID, prepare, candidates=[FAST], say=said.append)
    assert timed == []
    assert "do not fit" in said[0]


def test_a_cell_step_is_timed_over_steps_cells_and_copies(train, prepare, monkeypatch):
    clock = iter([0.0, 6.0, 10.0, 13.0, 20.0, 29.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    study = prepare(
        train.shortened(5), sweep.Layout(2, 4, 8)
    )  # 6 cells a seed: 8 slots
    assert measure.seconds_per_cell_step(study) == pytest.approx(3.0 / (8 * 5))


def test_the_memory_of_a_study_is_that_of_its_parts(dataset):
    """Data, a state of a known size for each cell in flight, and little else."""
    kilobytes = 400

    def begin(data, hypers, key):
        return jax.random.normal(key, (kilobytes * 128,)) + data.mean[0]

    def advance(data, hypers, key, state, segment):
        return state * hypers["decay"], {"x": jnp.sum(state)}

    training = sweep.Training(
        begin, advance, lambda data, hypers, key, state: {"end": state[0]}, segments=2
    )
    data = sweep.arrays(dataset)
    needs = {}
    for chunk in (2, 12):
        study = sweep.prepare(training, GRID, data, sweep.Layout(1, 1, chunk))
        needs[chunk] = measure.bytes_per_device(study)
    state = kilobytes * 1024
    growth = (needs[12] - needs[2]) / (10 * state)
    assert 1.0 <= growth <= 1.05  # in place: no second copy of the cells in flight


def test_layouts_to_try_fit_the_grid():
    tried = measure.layouts_to_try(GRID)
    assert {layout.devices for layout in tried} == {1, 2}
    assert {layout.block for layout in tried} == {1, 6}  # six cells of a seed
    for layout in tried:
        assert layout.chunk % (layout.devices * layout.block) == 0


@pytest.mark.parametrize(
    ("cells", "blocks"),
    [
        (1, [1]),
        (84, [84, 42, 21, 11, 6, 3, 2, 1]),
        (512, [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]),
        (513, [257, 129, 65, 33, 17, 9, 5, 3, 2, 1]),
    ],
)
def test_blocks_are_even_and_halved(cells, blocks):
    assert measure.blocks_to_fit(cells) == blocks


def test_the_most_cells_that_fit_are_taken(train, prepare, monkeypatch):
    needs = {
        block: measure.bytes_per_device(
            prepare(train, sweep.Layout(2, block, 2 * block))
        )
        for block in (6, 3)
    }
    assert needs[3] < needs[6]
    for memory, block in ((needs[6], 6), (needs[3], 3)):
        monkeypatch.setattr(measure, "device_memory", lambda m=memory: m / 0.9 + 1)
        said = []
        study = measure.largest_study(train, GRID, prepare, say=said.append)
        assert study.layout == sweep.Layout(2, block, 2 * block)
        assert len(said) == (0 if block == 6 else 1)


def test_what_cannot_be_compiled_for_want_of_memory_is_halved(train, prepare):
    def compiled(training, layout):
        if layout.block > 3:
            raise MemoryError
        return prepare(training, layout)

    said = []
    study = measure.largest_study(train, GRID, compiled, say=said.append)
    assert study.layout.block == 3
    assert said == ["2 devices, blocks of 6, chunks of 12: do not fit"]


def test_another_error_of_a_compilation_is_not_hidden(train):
    def compiled(training, layout):
        raise TypeError("no such thing")

    with pytest.raises(TypeError, match="no such thing"):
        measure.largest_study(train, GRID, compiled)


def test_nothing_that_fits_is_a_sentence(train, prepare, monkeypatch):
    monkeypatch.setattr(measure, "device_memory", lambda: 1)
    with pytest.raises(ValueError, match="No layout fits into the"):
        measure.largest_study(train, GRID, prepare)


def test_elsewhere_than_on_a_cpu_a_run_takes_what_fits(dataset, train, monkeypatch):
    data = sweep.arrays(dataset)
    usual = sweep.run(train, GRID, data)
    compiled = []
    largest = measure.largest_study

    def counted(training, grid, prepare, say):
        study = largest(training, grid, prepare, say=say)
        compiled.append(study.layout)
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
        return study

    monkeypatch.setattr(engine, "largest_study", counted)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    result = sweep.run(train, GRID, data)
    assert compiled == [sweep.Layout(2, 6, 12)]
    assert result.attrs["layout"] == str(compiled[0]._asdict())
    np.testing.assert_allclose(usual.loss, result.loss, rtol=1e-10)


def test_a_run_measures_when_told_and_changes_no_result(dataset, train, monkeypatch):
    data = sweep.arrays(dataset)
    monkeypatch.setattr(engine, "measured_layout", lambda *a, **k: FAST)
    usual = sweep.run(train, GRID, data)
    measured = sweep.run(train, GRID, data, layout="measured")
    assert measured.attrs["layout"] == str(FAST._asdict())
    np.testing.assert_allclose(usual.loss, measured.loss, rtol=1e-10)


def test_what_was_measured_is_kept_with_the_run(tmp_path, dataset, train, monkeypatch):
    data = sweep.arrays(dataset)
    monkeypatch.setattr(engine, "measured_layout", lambda *a, **k: FAST)
    sweep.run(train, GRID, data, layout="measured", folder=tmp_path)
    monkeypatch.setattr(engine, "measured_layout", lambda *a, **k: SLOW)
    again = sweep.run(
        train, GRID, data, layout="measured", folder=tmp_path, resume=True
    )
    assert again.attrs["layout"] == str(FAST._asdict())


def test_without_steps_to_count_there_is_nothing_to_time(dataset):
    training = sweep.Training(lambda *a: (), lambda *a: ((), {}), lambda *a: {})
    chosen = sweep.measured_layout(training, GRID, lambda *a: pytest.fail("timed"))
    assert chosen == sweep.default_layout(GRID.size)
