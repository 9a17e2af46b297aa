"""The audit of single optimizers, against labels that were read in their sources."""

import pytest

from tests.inspect import auditing
from tests.inspect.paths import ROWS

answers: list[tuple[str, str]] = []


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_one_optimizer(row):
    found = auditing.alone(row)
    answers.append((row.kind, found.kind))
    assert found.kind in auditing.expected_alone(row), str(found)
    auditing.check_leaves(row, found)


def test_print_the_confusion_matrix(capsys):
    with capsys.disabled():
        print(f"\n\nof one optimizer:\n{auditing.matrix(answers)}")
