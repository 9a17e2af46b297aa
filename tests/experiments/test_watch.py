"""What watches a run: each segment is in the log, the scalars, the trace."""

import json
import struct

import jax
import jax.numpy as jnp
import pytest

from experiments.harness import watch
from wdjax.sweep import Progress

NEWS = [
    Progress(
        cells_done=n, cells=4, seconds=0.1 * n, diverged=1, share=n / 4, best_loss=1 / n
    )
    for n in (1, 2, 4)
]


def test_the_log_has_a_line_for_every_segment(tmp_path):
    path = tmp_path / "log.jsonl"
    for _ in range(2):  # a resumed run appends
        log = watch.json_lines(path, "study")
        for news in NEWS:
            log("AdamW", news)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["cells_done"] for line in lines] == [1, 2, 4, 1, 2, 4]
    assert {line["grid"] for line in lines} == {"AdamW"}
    assert {line["experiment"] for line in lines} == {"study"}


def test_a_loss_that_is_none_is_null(tmp_path):
    log = watch.json_lines(tmp_path / "log.jsonl", "study")
    log("AdamW", NEWS[0]._replace(best_loss=float("nan")))
    assert json.loads((tmp_path / "log.jsonl").read_text())["best_loss"] is None


def scalars(path):
    """The scalars of a file of events: length, checksum, event, checksum; repeated."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    content, found = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        content = content[16 + length :]
    return found


def test_tensorboard_gets_the_scalars_of_each_grid(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    at_exit = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    show = watch.tensorboard(tmp_path, "study")
    for news in NEWS:
        show("AdamW", news)
    for close in at_exit:
        close()
    (file,) = (tmp_path / "study.AdamW").iterdir()
    found = scalars(file)
    assert found["cells_done"] == [(1, 1), (2, 2), (3, 4)]
    assert found["best_loss"] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert set(found) == set(watch.FIELDS)


def test_a_trace_is_written_only_when_asked_for(tmp_path):
    with watch.traced(None):
        pass
    assert not list(tmp_path.iterdir())
    with watch.traced(tmp_path):
        jax.block_until_ready(jnp.ones(3) + 1)
    assert list(tmp_path.rglob("*.xplane.pb"))
