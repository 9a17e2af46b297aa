"""A store by itself: when it writes, what it does without, how long it is held."""

import errno
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.sweep import checkpoints, store
from wdjax.sweep.store import StoreError, stored_layout
from wdjax.sweep.study import Flight


def opened(folder, identity=None, **options):
    options = {"resume": True, "every": 0.0} | options
    return store.open_store(folder, identity or {}, **options)


def flight(number, segment):
    """Two cells, whose states and records tell the chunk and the segment."""
    records = [{"loss": np.full(2, float(s))} for s in range(segment)]
    return Flight(number, segment, jnp.full(2, 10.0 * number + segment), records)


def restored(kept, number):
    found = kept.restore(number, flight(number, 0))
    expected = flight(number, found.segment)
    assert found.number == number
    np.testing.assert_array_equal(found.states, expected.states)
    np.testing.assert_equal(found.records, expected.records)
    return found.segment


def test_between_two_checkpoints_lies_the_time_that_was_asked_for(
    tmp_path, monkeypatch
):
    now, kept = time.monotonic(), []
    with opened(tmp_path, every=10.0) as study:
        monkeypatch.setattr(
            checkpoints, "save", lambda manager, flight: kept.append(flight.segment)
        )
        for segment in range(1, 10):
            clock = SimpleNamespace(monotonic=lambda s=segment: now + 4.0 * s)
            monkeypatch.setattr(store, "time", clock)
            study.keep(flight(0, segment))
    assert kept == [3, 6, 9]


def test_each_chunk_has_checkpoints_of_its_own(tmp_path):
    with opened(tmp_path) as study:
        for segment in (1, 2):
            for number in (0, 1):
                study.keep(flight(number, segment))
    with opened(tmp_path) as study:
        assert [restored(study, number) for number in (0, 1)] == [2, 2]


def test_a_checkpoint_is_kept_once(tmp_path):
    """As by Ctrl-C right after it was written."""
    with opened(tmp_path) as study:
        study.keep(flight(0, 1))
        study.keep(flight(0, 1), now=True)
        assert restored(study, 0) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_broken_checkpoint_makes_room_for_its_successor(tmp_path, gone):
    with opened(tmp_path) as study:
        for segment in (1, 2):
            study.keep(flight(0, segment))
    (broken,) = tmp_path.glob(f"flight_00000/2/*/{checkpoints.FILE}")
    broken.unlink() if gone else broken.write_bytes(b"")
    said = []
    with opened(tmp_path, say=said.append) as study:
        assert restored(study, 0) == 1
        study.keep(flight(0, 2))
    with opened(tmp_path, say=said.append) as study:
        assert restored(study, 0) == 2
    assert len(said) == 1


def test_of_a_chunk_that_is_not_there_nothing_is_said(tmp_path):
    said = []
    with opened(tmp_path, say=said.append) as study:
        assert study.finished(0) is None
        assert study.restore(0, flight(0, 0)) is None
    assert said == []


def test_a_chunk_that_the_system_cannot_open_is_trained_again(tmp_path):
    path, said = tmp_path / "chunk_00000.npz", []
    path.symlink_to(path)
    with opened(tmp_path, say=said.append) as study:
        assert study.finished(0) is None
        assert "chunk_00000.npz cannot be read" in said[0]
        study.finish(0, {"loss": np.ones(2)})
        np.testing.assert_equal(study.finished(0), {"loss": np.ones(2)})


def test_a_checkpoint_that_finds_no_room_ends_in_a_sentence(tmp_path, monkeypatch):
    def full(path, arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    study = opened(tmp_path)
    study.keep(flight(0, 1))
    with pytest.raises(StoreError, match=r"No space left on device.*--resume"):
        study.close()
    opened(tmp_path).close()  # nobody holds it


def test_a_folder_is_held_until_its_last_checkpoint_is_written(tmp_path, monkeypatch):
    written, refused = checkpoints.write_arrays, []

    def slow(path, arrays):
        time.sleep(0.3)
        try:
            opened(tmp_path).close()
        except StoreError as error:
            refused.append(str(error))
        written(path, arrays)

    monkeypatch.setattr(checkpoints, "write_arrays", slow)
    with opened(tmp_path) as study:
        study.keep(flight(0, 1))
    assert len(refused) == 1
    assert "in use by another run" in refused[0]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1}, "b.c was 2, is null"),
        ({"a": 1}, {"a": 1, "b": {"c": 2}}, "b.c was null, is 2"),
    ],
)
def test_a_setting_that_one_of_two_studies_lacks_is_told(tmp_path, first, second, said):
    opened(tmp_path, first).close()
    with pytest.raises(StoreError, match=f"another study: {said}"):
        opened(tmp_path, second)


def test_a_folder_in_the_place_of_what_the_study_is_is_refused(tmp_path):
    (tmp_path / "study.json").mkdir()
    assert stored_layout(tmp_path) is None
    with pytest.raises(StoreError, match=r"study\.json cannot be read"):
        opened(tmp_path)


def test_a_fingerprint_is_of_values_shapes_and_dtypes_and_of_nothing_else():
    array = np.arange(6, dtype=np.int32)
    spread = np.repeat(array, 2)[::2]
    assert not spread.flags.contiguous
    assert checkpoints.fingerprint(spread) == checkpoints.fingerprint(array)
    others = (array, array + 1, array.reshape(2, 3), array.view(np.float32))
    assert len({*map(checkpoints.fingerprint, others)}) == len(others)


def test_a_state_can_be_given_up_while_it_is_written(tmp_path, monkeypatch):
    """A view of it in the place of a copy would hold its memory back."""
    written = checkpoints.write_arrays

    def slow(path, arrays):
        time.sleep(0.3)
        written(path, arrays)

    monkeypatch.setattr(checkpoints, "write_arrays", slow)
    advance = jax.jit(lambda states: states + 1.0, donate_argnums=0)
    with opened(tmp_path) as study:
        now = flight(0, 1)
        study.keep(now)
        advance(now.states)
        assert now.is_spent()
    with opened(tmp_path) as study:
        assert restored(study, 0) == 1


def test_keys_come_back_of_their_kind(tmp_path):
    keys = jax.random.split(jax.random.key(3, impl="rbg"), 2)
    with opened(tmp_path) as study:
        study.keep(Flight(0, 1, keys, flight(0, 1).records))
        found = study.restore(0, Flight(0, 0, keys, []))
    assert found.states.dtype == keys.dtype
    np.testing.assert_array_equal(*map(jax.random.key_data, (found.states, keys)))
