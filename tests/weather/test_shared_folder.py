"""A folder shared by two runs at once loses nothing."""

import contextlib
import errno
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest

from experiments.harness.reports import load_report
from wdjax import sweep
from wdjax.sweep import files
from wdjax.sweep.store import StoreError, _wait_for, open_store

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "sweep" / "child.py"
SECONDS = 240
PYTHONPATH = {"PYTHONPATH": str(ROOT)}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | PYTHONPATH,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


HOLD = """
import sys, time
from pathlib import Path
from wdjax.sweep.store import open_store
store = open_store(sys.argv[1], {"decay": [0.1]}, resume=True, every=1.0)
print("in", flush=True)
time.sleep(600)
"""


def test_a_second_run_is_refused_for_as_long_as_the_first_one_lives(tmp_path):
    process = start("-c", HOLD, tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        said = f"^{re.escape(str(tmp_path))} is in use by another run. Wait"
        with pytest.raises(StoreError, match=said):
            open_store(tmp_path, {"decay": [0.1]}, resume=True, every=1.0)
    finally:
        process.kill()  # which leaves no time to tidy up
        process.communicate()
    open_store(tmp_path, {"decay": [0.1]}, resume=True, every=1.0).close()


def test_a_store_that_was_refused_or_closed_holds_nothing(tmp_path):
    open_store(tmp_path, {"decay": [0.1]}, resume=False, every=1.0).close()
    with pytest.raises(StoreError, match="another study") as kept:
        open_store(tmp_path, {"decay": [0.2]}, resume=True, every=1.0)
    with pytest.raises(StoreError, match="unfinished run"):
        open_store(tmp_path, {"decay": [0.1]}, resume=False, every=1.0)
    open_store(tmp_path, {"decay": [0.1]}, resume=True, every=1.0).close()
    assert kept.tb  # which knows the store


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError(),
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.ENOTSUP, "Operation not supported"),
        OSError(errno.ENOSYS, "Function not implemented"),
    ],
    ids=repr,
)
def test_where_there_are_no_locks_a_run_does_without(tmp_path, monkeypatch, error):
    def missing(lock):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", missing)
    open_store(tmp_path, {}, resume=False, every=1.0).close()


def test_a_lock_that_may_not_be_made_is_an_error(tmp_path, monkeypatch):
    def forbidden(lock):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", forbidden)
    with pytest.raises(StoreError, match="Permission denied"):
        open_store(tmp_path, {}, resume=False, every=1.0)


def test_another_process_waits_for_the_first_and_is_asked_for_no_resume(tmp_path):
    folder = tmp_path / "study"
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(open_store, folder, {}, resume=False, every=1.0, process=1)
        time.sleep(0.2)
        early = folder.exists()
        open_store(folder, {}, resume=True, every=1.0).close()
        other.result().close()
    assert not early


def test_a_folder_that_is_not_shared_is_met(tmp_path):
    with pytest.raises(StoreError, match=r"has not appeared in 0 s.*one shared\?"):
        _wait_for(tmp_path / "study.json", seconds=0.0)


@pytest.mark.slow  # three studies in processes of their own
def test_of_two_sweeps_in_one_folder_one_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path,
):
    alone = start(CHILD, tmp_path / "alone", tmp_path / "alone.nc")
    assert finish(alone)[0] == 0
    first = start(CHILD, tmp_path / "study", tmp_path / "first.nc")
    assert first.stdout is not None
    first.stdout.readline()  # in flight
    second = start(CHILD, tmp_path / "study", tmp_path / "second.nc")
    code, _, err = finish(second)
    assert finish(first)[0] == 0
    if code:  # else it came when the first had ended
        assert "is in use by another run" in err
    found = sweep.load(tmp_path / "first.nc")
    whole = sweep.load(tmp_path / "alone.nc")
    for name in whole:
        assert found[name].equals(whole[name])


WRITER = """
import sys
from pathlib import Path
from wdjax.sweep import files
path, letter = Path(sys.argv[1]), sys.argv[2]
for number in range(300):
    files.write_text(path, files.sealed_json({"writer": letter, "text": letter * 5000}))
"""


def test_whoever_reads_a_file_that_two_write_reads_it_whole(tmp_path):
    path = tmp_path / "shared.json"
    writers = [start("-c", WRITER, path, letter) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(FileNotFoundError):
            content = files.unsealed_json(files.read_text(path))
            assert content["text"] == content["writer"] * 5000
            seen.add(content["writer"])
        time.sleep(0.0005)
    for writer in writers:
        assert finish(writer)[0] == 0
    assert seen
    assert [p.name for p in tmp_path.iterdir()] == ["shared.json"]


def test_the_second_run_of_an_experiment_in_one_folder_ends_with_a_sentence(tmp_path):
    command = ("-m", "experiments", "run", "propositions", "--smoke", "--out", tmp_path)
    with files.held(tmp_path / ".propositions.lock", what="it"):
        code, _, err = finish(start(*command))
    assert code == 2
    assert "The experiment propositions in the folder" in err
    assert "is in use by another run. Wait for its end, or choose" in err
    assert not (tmp_path / "propositions.json").exists()


@pytest.mark.slow  # two experiments, and their compilations
def test_two_experiments_at_once_are_both_in_the_summary(tmp_path):
    names = ("propositions", "lecture_pictures")
    runs = [
        start("-m", "experiments", "run", name, "--smoke", "--out", tmp_path)
        for name in names
    ]
    for code, _, err in map(finish, runs):
        assert code == 0, err
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    for name in names:
        assert load_report(tmp_path / f"{name}.json").name == name
        assert name in summary
