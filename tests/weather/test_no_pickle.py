"""Only CIFAR's own reader unpickles, and what it calls is its own."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest

from wdjax.data import DataError
from wdjax.data.pickles import ALLOWED_GLOBALS, read_pickle

ROOT = Path(__file__).parents[2]
SOURCES = [p for room in ("wdjax", "experiments") for p in (ROOT / room).rglob("*.py")]
RUNNING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "_pickle"}
READER = ROOT / "wdjax" / "data" / "pickles.py"


def imports(tree):
    """The first part of the name of each module that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def calls(tree):
    """Each call with what is called, as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_only_one_file_imports_what_unpickles():
    assert len(SOURCES) > 150
    found = {p for p in SOURCES if RUNNING & {*imports(ast.parse(p.read_text()))}}
    assert found == {READER}


def test_numpy_is_always_told_not_to_unpickle():
    loads = 0
    for path in SOURCES:
        for name, call in calls(ast.parse(path.read_text())):
            assert name not in ("eval", "exec"), path
            if name in ("np.load", "numpy.load"):
                loads += 1
                said = {k.arg: ast.unparse(k.value) for k in call.keywords}
                assert said.get("allow_pickle") == "False", path
    assert loads >= 2


def test_none_of_what_a_pickle_may_call_is_numpy_s():
    """NumPy's leave an array's memory as they found it."""
    for allowed in ALLOWED_GLOBALS.values():
        assert type(allowed).__module__ == "wdjax.data.pickles"
        with pytest.raises(AttributeError):  # no state to set, and none to share
            allowed.anything = 1


def pickled(array):
    return pickle.dumps({b"data": array}, protocol=3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )


def test_an_array_that_was_never_filled_is_no_data():
    """Of the call alone NumPy would make 3,072 bytes of whatever memory held."""
    unfilled = (
        b"\x80\x02}C\x04datacnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\nK\x01M\x00\x0c\x86C\x02u1tRs."
    )
    with pytest.raises(DataError, match="cannot be unpickled"):
        read_pickle(unfilled, "here")


def test_an_array_of_another_size_than_its_shape_is_no_data():
    payload = pickled(np.zeros((2, 200), np.uint8))
    altered = payload.replace(b"K\x02K\xc8", b"K\x03K\xc8")
    assert altered != payload
    with pytest.raises(DataError, match="not as many bytes as its shape"):
        read_pickle(altered, "here")


@pytest.mark.parametrize("dtype", [np.int16, np.float64, "O", "V8", "M8[s]"])
def test_an_array_of_anything_but_bytes_is_none(dtype):
    found = read_pickle(pickled(np.zeros((2, 3), dtype)), "here")
    assert found == {b"data": None}


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_bytes_comes_back(order):
    array = np.asarray(np.arange(6, dtype=np.uint8).reshape(2, 3), order=order)
    found = read_pickle(pickled(array), "here")
    np.testing.assert_array_equal(found[b"data"], array, strict=True)


@pytest.mark.parametrize("opcode", [b"r", b"q"])
def test_a_memo_of_32_gb_is_refused_before_it_is_made(opcode):
    number = b"\xff\xff\xff\x7f" if opcode == b"r" else b"\xff"
    with pytest.raises(DataError, match="there cannot be"):
        read_pickle(b"\x80\x02N" + opcode + number + b".", "here")
    with pytest.raises(DataError, match="there cannot be"):
        read_pickle(b"Np2147483647\n.", "here")


def test_deep_tuples_are_refused_before_they_are_hashed():
    """As a key they would be hashed, without end of the stack in sight."""
    payload = b"\x80\x02})" + b"\x85" * 500_000 + b"Ns."
    with pytest.raises(DataError, match="more than 1,000 tuples"):
        read_pickle(payload, "here")


def test_deep_lists_are_read_and_forgotten():
    payload = b"\x80\x02}C\x01x" + b"]" * 200_000 + b"a" * 199_999 + b"s."
    assert list(read_pickle(payload, "here")) == [b"x"]
