"""Nothing is lost: killed, broken and interrupted runs end with the same bits."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import sweep
from wdjax.data import Split
from wdjax.sweep import checkpoints
from wdjax.sweep.store import StoreError

GRID = {"seed": [0, 1], "decay": [0.0, 0.1, 1.0], "learning_rate": [0.01, 0.1]}
LAYOUT = sweep.Layout(devices=2, block=1, chunk=4)


class Killed(BaseException):
    """Nothing in the engine expects it, as nothing expects SIGKILL."""


@pytest.fixture
def noisy(linear):
    """A training whose optimizer holds moments, a count and a key of its own."""
    init, apply, _ = linear

    def make_optimizer(h):
        noise = optax.add_noise(0.01, 0.5, key=jax.random.key(3))
        return optax.chain(noise, wdjax.adamw(h["learning_rate"], h["decay"]))

    return sweep.make_train(
        init, apply, make_optimizer, steps=12, batch_size=6, records=4
    )


def run(train, dataset, folder=None, grid=GRID, **options):
    options = {"layout": LAYOUT, "every": 0.0} | options
    return sweep.run(
        train, sweep.grid(**grid), sweep.arrays(dataset), folder=folder, **options
    )


def killed_at(count):
    """A progress report that ends the run at its ``count``-th call."""
    calls = []

    def progress(news):
        calls.append(news)
        if len(calls) == count:
            raise Killed

    return progress


def assert_same_bits(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 6, 9, 11, 12])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    tmp_path, dataset, noisy, calls
):
    """Three chunks of four segments, stopped in each of them."""
    whole = run(noisy, dataset)
    with pytest.raises(Killed):
        run(noisy, dataset, tmp_path, progress=killed_at(calls))
    seen = []
    resumed = run(noisy, dataset, tmp_path, resume=True, progress=seen.append)
    assert_same_bits(whole, resumed)
    assert len(seen) - 1 <= 12 - calls + 1  # at most the last segment was lost


def test_what_is_finished_is_not_trained_again(tmp_path, dataset, noisy):
    whole = run(noisy, dataset, tmp_path)
    seen = []
    again = run(noisy, dataset, tmp_path, resume=True, progress=seen.append)
    assert_same_bits(whole, again)
    assert [p.cells_done for p in seen] == [12]
    assert not list(tmp_path.glob("flight_*"))


@pytest.mark.parametrize("missing", ["key", "moments"])
def test_resuming_without_a_part_of_the_state_is_noticed(
    tmp_path, dataset, noisy, missing, monkeypatch
):
    """So that the test above can fail."""
    whole = run(noisy, dataset)
    with pytest.raises(Killed):
        run(noisy, dataset, tmp_path, progress=killed_at(3))
    restored = checkpoints._as_leaf

    def forgetful(value, like):
        is_key = jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
        forgotten = is_key if missing == "key" else like.shape[-2:] == (12, 3)
        return like if forgotten else restored(value, like)

    monkeypatch.setattr(checkpoints, "_as_leaf", forgetful)
    resumed = run(noisy, dataset, tmp_path, resume=True)
    assert not np.array_equal(whole.loss, resumed.loss)


# Orbax leaves threads behind that report to a loop which is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_broken_file_of_a_checkpoint_falls_back_to_the_one_before(
    tmp_path, dataset, noisy
):
    whole = run(noisy, dataset)
    original = tmp_path / "original"
    with pytest.raises(Killed):
        run(noisy, dataset, original, progress=killed_at(3))
    flight = original / "flight_00000"
    assert sorted(p.name for p in flight.iterdir()) == ["2", "3"]
    files = [p.relative_to(original) for p in (flight / "3").rglob("*") if p.is_file()]
    assert any(file.name == checkpoints.FILE for file in files)
    assert len(files) >= 3
    for number, file in enumerate(files):
        for damage in ("truncated", "changed"):
            copy = tmp_path / f"{damage}_{number}"
            shutil.copytree(original, copy)
            content = bytearray((copy / file).read_bytes())
            if damage == "truncated":
                content = content[: len(content) // 2]
            else:
                content[len(content) // 2] ^= 0xFF
            (copy / file).write_bytes(content)
            said = []
            resumed = run(noisy, dataset, copy, resume=True, say=said.append)
            assert_same_bits(whole, resumed)
            for line in said:
                assert "segment 3 cannot be read" in line


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_checkpoint_that_can_be_read_means_from_the_start(tmp_path, dataset, noisy):
    whole = run(noisy, dataset)
    with pytest.raises(Killed):
        run(noisy, dataset, tmp_path, progress=killed_at(3))
    for file in (tmp_path / "flight_00000").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    said = []
    assert_same_bits(whole, run(noisy, dataset, tmp_path, resume=True, say=said.append))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_broken_chunk_trains_again(tmp_path, dataset, noisy, damage):
    whole = run(noisy, dataset, tmp_path)
    path = tmp_path / "chunk_00001.npz"
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] if damage is None else damage)
    said = []
    again = run(noisy, dataset, tmp_path, resume=True, say=said.append)
    assert_same_bits(whole, again)
    assert said
    assert said[0].startswith("chunk_00001.npz cannot be read")


def test_another_study_is_refused_with_what_differs(tmp_path, dataset, linear, noisy):
    run(noisy, dataset, tmp_path, configuration={"model": "linear", "n": {"a": 1}})
    other = sweep.make_train(*linear, steps=12, batch_size=6, records=4)
    same = {"configuration": {"model": "linear", "n": {"a": 1}}, "resume": True}
    with pytest.raises(StoreError, match=r"another study: program was .*, is "):
        run(other, dataset, tmp_path, **same)
    longer = GRID | {"decay": [0.0, 0.1, 2.0]}
    with pytest.raises(
        StoreError, match=r"grid.decay was \[0.0, 0.1, 1.0\], is \[0.0, 0.1, 2.0\]"
    ):
        run(noisy, dataset, tmp_path, grid=longer, **same)
    changed = same | {"configuration": {"model": "linear", "n": {"a": 2}}}
    with pytest.raises(StoreError, match=r"configuration.n.a was 1, is 2"):
        run(noisy, dataset, tmp_path, **changed)
    with pytest.raises(StoreError, match=r"layout.devices was 2, is 1"):
        run(noisy, dataset, tmp_path, layout=sweep.Layout(1, 1, 4), **same)
    pixels = dataset.train.images.copy()
    pixels[0, 0, 0, 0] ^= 1
    split = Split(pixels, dataset.train.labels)
    moved = dataclasses.replace(dataset, train=split)
    with pytest.raises(StoreError, match="data was"):
        run(noisy, moved, tmp_path, **same)
    run(noisy, dataset, tmp_path, **same)


def test_a_folder_in_use_asks_for_resume(tmp_path, dataset, noisy):
    run(noisy, dataset, tmp_path)
    with pytest.raises(StoreError, match="unfinished run of this study; give --resume"):
        run(noisy, dataset, tmp_path)


def test_the_layout_of_the_folder_is_taken_up(tmp_path, dataset, noisy):
    first = run(noisy, dataset, tmp_path, layout=sweep.Layout(1, 2, 6))
    again = run(noisy, dataset, tmp_path, layout=None, resume=True)
    assert again.attrs["layout"] == first.attrs["layout"]


def test_ctrl_c_keeps_the_last_segment(tmp_path, dataset, noisy):
    whole = run(noisy, dataset)
    calls = []

    def interrupt(news):
        calls.append(news)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(noisy, dataset, tmp_path, progress=interrupt, every=1e9)
    seen = []
    resumed = run(noisy, dataset, tmp_path, resume=True, progress=seen.append)
    assert_same_bits(whole, resumed)
    assert len(seen) - 1 == 12 - 2


def test_a_full_disk_ends_in_a_sentence(tmp_path, dataset, noisy, monkeypatch):
    whole = run(noisy, dataset)
    written = checkpoints.write_arrays

    def full(path, arrays):
        if "flight" not in str(path) and (tmp_path / "chunk_00000.npz").exists():
            raise OSError(28, "No space left on device")
        written(path, arrays)

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    with pytest.raises(StoreError, match=r"cannot be written .*No space.*--resume"):
        run(noisy, dataset, tmp_path)
    monkeypatch.setattr(checkpoints, "write_arrays", written)
    assert (tmp_path / "chunk_00000.npz").exists()
    assert (tmp_path / "flight_00001").exists()
    assert_same_bits(whole, run(noisy, dataset, tmp_path, resume=True))


def test_a_folder_that_cannot_be_made_is_named(tmp_path, dataset, noisy):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/study cannot be written"):
        run(noisy, dataset, tmp_path / "file" / "study")


def test_a_study_that_cannot_be_read_is_refused(tmp_path, dataset, noisy):
    run(noisy, dataset, tmp_path)
    (tmp_path / "study.json").write_text('{"layout": ')
    with pytest.raises(StoreError, match=r"study\.json cannot be read"):
        run(noisy, dataset, tmp_path, resume=True)


def test_a_plain_function_is_stored_by_chunks(tmp_path):
    def train(data, hypers, key):
        x = jax.random.normal(key) + data * hypers["decay"]
        return {"x": x, "file": jnp.stack([x, x**2])}

    grid = sweep.grid(seed=[0, 1], decay=[1.0, 2.0, 3.0])
    layout = sweep.Layout(2, 1, 2)
    whole = sweep.run(train, grid, jnp.ones(()), layout=layout)
    with pytest.raises(Killed):
        sweep.run(
            train,
            grid,
            jnp.ones(()),
            layout=layout,
            folder=tmp_path,
            progress=killed_at(2),
        )
    again = sweep.run(
        train, grid, jnp.ones(()), layout=layout, folder=tmp_path, resume=True
    )
    assert_same_bits(whole, again)


def test_narrow_and_empty_states_are_kept_to_the_bit(tmp_path):
    def begin(data, hypers, key):
        return {
            "bf16": jnp.full(3, 1 / 3, jnp.bfloat16) * hypers["decay"],
            "none": jnp.zeros((0, 2)),
            "flag": jnp.array(True),
            "nan": jnp.array(jnp.nan),
        }

    def advance(data, hypers, key, state, segment):
        moved = state | {"bf16": state["bf16"] * 1.5, "flag": ~state["flag"]}
        return moved, {"loss": jnp.sum(moved["bf16"].astype(float))}

    def finish(data, hypers, key, state):
        return {"end": state["bf16"].astype(float), "flag": state["flag"]}

    train = sweep.Training(begin, advance, finish, segments=3)
    grid = sweep.grid(seed=[0], decay=[1.0, 2.0])
    options = {"layout": sweep.Layout(1, 2, 2), "every": 0.0}
    whole = sweep.run(train, grid, jnp.ones(()), **options)
    with pytest.raises(Killed):
        sweep.run(
            train,
            grid,
            jnp.ones(()),
            folder=tmp_path,
            progress=killed_at(2),
            **options,
        )
    resumed = sweep.run(
        train, grid, jnp.ones(()), folder=tmp_path, resume=True, **options
    )
    assert_same_bits(whole, resumed)
    assert json.loads((tmp_path / "study.json").read_text())["layout"]["block"] == 2
