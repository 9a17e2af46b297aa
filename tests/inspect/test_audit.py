"""The audit against labels that were read in the optimizers' sources."""

import math

import numpy as np
import pytest

from tests.inspect import auditing
from tests.inspect.paths import ROWS
from wdjax.inspect.audit.exponents import NAMED

ALPHA, LAM = auditing.ALPHA, auditing.LAM
ALL = pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
answers: dict[str, list[tuple[str, str]]] = {"one": [], "factory": []}


@ALL
def test_one_optimizer(row):
    found = auditing.alone(row)
    answers["one"].append((row.kind, found.kind))
    assert found.kind in auditing.expected_alone(row), str(found)
    check_leaves(row, found)


@ALL
def test_a_factory(row):
    found = auditing.of_factory(row)
    answers["factory"].append((row.kind, found.kind))
    assert found.kind in auditing.expected_of_factory(row), str(found)
    check_leaves(row, found)
    if found.kind in {"decoupled", "growing"} and row.exponents is not None:
        check_exponents(row, found.convention)


def test_print_the_confusion_matrices(capsys):
    with capsys.disabled():
        for name, pairs in answers.items():
            print(f"\n\nof {name}:\n{auditing.matrix(pairs)}")


def check_leaves(row, found):
    """δ of each leaf, where the label has one."""
    if found.kind not in {"decoupled", "growing"} or row.rate is None:
        return
    rate = row.rate(ALPHA, LAM)
    if row.kind == "proximal":
        rate = rate / (1 + rate)
    for path, multiple in row.decays._asdict().items():
        leaf = found.per_leaf[path]
        if multiple:
            np.testing.assert_allclose(leaf.decay_rate, multiple * rate, rtol=1e-6)
        else:
            assert leaf.kind == "none"


def check_exponents(row, fit):
    """(a, b) of the label; those of a leading order are met where α and λ are small."""
    leading = row.name in {
        "optax.fromage",
        "optax.contrib.momo",
        "optax.contrib.momo_adam",
    }
    off = 0.1 if leading else 1e-6
    a, b = row.exponents
    assert fit.peak == pytest.approx(a, abs=off)
    if not row.takes_schedule:
        assert math.isnan(fit.schedule)
        return
    assert fit.schedule == pytest.approx(b, abs=off)
    if not leading and (a, b) in {tuple(c) for c in NAMED.values()}:
        assert tuple(NAMED[fit.name]) == (a, b)
