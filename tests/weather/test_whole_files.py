"""A file has its name when it is whole, and no sooner."""

import ast
import os
import re
from pathlib import Path

from wdjax.sweep import files

ROOT = Path(__file__).parents[2]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """The order of two calls; what a disk does that loses power, no test sees."""
    happened = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        happened.append(("synced", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def named(source, target):
        happened.append(("named", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    files.write_text(tmp_path / "a", "all of it")
    file = (tmp_path / "a").stat().st_ino
    assert happened == [("synced", file), ("named", file)]


def test_a_file_is_written_in_the_folder_where_it_will_be(tmp_path):
    """From another disk nothing can be renamed."""
    with files.whole(tmp_path / "a") as partial:
        partial.touch()
        assert partial.parent == tmp_path


def writes(call):
    """Whether a call writes into a file."""
    name = ast.unparse(call.func)
    if name.endswith("open"):
        return any(
            re.fullmatch("'[rwaxbt+]*[wax+].*'", ast.unparse(a)) for a in call.args
        )
    return name.endswith((".write_text", ".write_bytes")) and name != "files.write_text"


def test_nothing_is_written_in_place():
    """But the inside of such a file, that of an Orbax checkpoint, and a log."""
    found = set()
    for room in ("wdjax", "experiments"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            if any(map(writes, calls)):
                found.add(path.name)
    assert found == {"files.py", "checkpoints.py", "watch.py"}
