"""Which decays an optimizer holds: each notes itself down while a ledger is open.

A chain hides its links in closures, so nobody can look into one from outside. But every
pull of this package is initialised with the parameters that it will pull, whatever
wraps it (`chain`, `partition`, `masked`, `MultiSteps`, …), and says then where it sits
and which leaves it moves.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import where as where_


class Entry(NamedTuple):
    """One pull.

    Attributes:
        caller: the public name that made it.
        leaves: the paths of those it moves, with their multipliers.
    """

    caller: str
    leaves: Mapping[str, Any]


_open: ContextVar[tuple[list[Entry], ...]] = ContextVar("open_ledgers", default=())


@contextmanager
def collect() -> Iterator[list[Entry]]:
    """Collect the entries of every pull that is initialised inside the block."""
    entries: list[Entry] = []
    token = _open.set((*_open.get(), entries))  # an outer ledger hears it too
    try:
        yield entries
    finally:
        _open.reset(token)


@contextmanager
def closed() -> Iterator[None]:
    """Inside the block nothing is entered: for an `init` that only asks for a state."""
    token = _open.set(())
    try:
        yield
    finally:
        _open.reset(token)


def note(caller: str, rate: Any, where: where_.Where, params: PyTree) -> None:
    """Enter a pull into every open ledger, unless its rate is known to be 0."""
    if check.is_concrete(rate) and float(rate) == 0:  # `==` is traced under jit
        return
    if _open.get():
        enter(Entry(caller, where_.pulled(where, params)))


def enter(entry: Entry) -> None:
    """Enter a pull into every open ledger."""
    for entries in _open.get():
        entries.append(entry)
