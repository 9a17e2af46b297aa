"""The room says how to install what it needs."""

import importlib
import sys

import pytest


def test_without_flax_the_import_names_the_extra(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("wdjax.models")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flax", None)
    with pytest.raises(ImportError, match=r'pip install "wdjax\[experiments\]"'):
        importlib.import_module("wdjax.models")
