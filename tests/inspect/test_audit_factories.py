"""The audit of factories, against labels that were read in their sources."""

import math

import pytest

from tests.inspect import auditing
from tests.inspect.paths import ROWS
from wdjax.inspect.auditing.exponents import NAMED

LEADING = {"optax.fromage", "optax.contrib.momo", "optax.contrib.momo_adam"}
answers: list[tuple[str, str]] = []


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_factory(row):
    found = auditing.of_factory(row)
    answers.append((row.kind, found.kind))
    assert found.kind in auditing.expected_of_factory(row), str(found)
    auditing.check_leaves(row, found)
    if found.kind in {"decoupled", "growing"} and row.exponents is not None:
        check_exponents(row, found.convention)


@pytest.mark.slow
def test_print_the_confusion_matrix(capsys):
    with capsys.disabled():
        print(f"\n\nof a factory:\n{auditing.matrix(answers)}")


def check_exponents(row, fit):
    """(a, b) of the label; those of a leading order are met where α and λ are small."""
    leading = row.name in LEADING
    off = 0.1 if leading else 1e-6
    a, b = row.exponents
    assert fit.peak == pytest.approx(a, abs=off)
    if not row.takes_schedule:
        assert math.isnan(fit.schedule)
        return
    assert fit.schedule == pytest.approx(b, abs=off)
    if not leading and (a, b) in {tuple(c) for c in NAMED.values()}:
        assert tuple(NAMED[fit.name]) == (a, b)
