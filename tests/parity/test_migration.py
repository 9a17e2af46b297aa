"""The page's calls for those who come from PyTorch, run as they are printed."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import wdjax
from tests.parity.ours import ATOL, rate, trajectory
from tests.parity.problem import LAM, MOMENTUM, RATES, STEPS, THETA, flat

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"
CALLS = re.compile(r"^\| `(\w+\(lr=.*?\))` \| `(wdjax\..*?\))` \|", re.MULTILINE)
ROWS = CALLS.findall(PAGE.read_text(encoding="utf-8"))
AS_THE_PAGE_SAYS = {"RAdam": 1e-8, "Adagrad": 1e-10}
SYMBOLS = {"λ": LAM, "β": MOMENTUM}


@pytest.mark.parametrize(("theirs", "ours"), ROWS)
def test_a_row_gives_the_same_trajectory_as_printed(theirs, ours):
    pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    from tests.parity import torch_oracle

    optimizer = eval(ours, {"wdjax": wdjax, "α": rate, **SYMBOLS})
    path = jax.jit(lambda: trajectory(optimizer))()
    np.testing.assert_allclose(
        [flat(path[name][t] for name in THETA) for t in range(STEPS)],
        torch_oracle.printed(theirs, {"α": RATES[0], **SYMBOLS}),
        rtol=0,
        atol=AS_THE_PAGE_SAYS.get(theirs.partition("(")[0], ATOL),
    )


def test_every_optimizer_of_the_table_is_run():
    names = {theirs.partition("(")[0] for theirs, _ in ROWS}
    adams = {"Adam", "AdamW", "Adamax", "NAdam", "RAdam"}
    assert names == {"SGD", *adams, "RMSprop", "Adagrad"}
