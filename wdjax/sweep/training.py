"""What the engine can run: a training function in segments, or in one piece."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

Hypers: TypeAlias = Mapping[str, Float[Array, ""]]
Outcome: TypeAlias = dict[str, Array]
Train: TypeAlias = Callable[[Any, Hypers, Key[Array, ""]], Outcome]


@dataclass(frozen=True)
class Training:
    """One training run as pure functions of what varies, cut where it may stop.

    Called, it is the whole run: ``training(data, hypers, key) -> outcome``. The engine
    calls its parts instead, one segment at a time, and may write the state down in
    between. All of them are pure, and take ``(data, hypers, key)`` first.

    Attributes:
        begin: ``(data, hypers, key) -> state`` before the first step.
        advance: ``(data, hypers, key, state, segment) -> (state, record)``: the steps
            of one segment, and one point of each curve.
        finish: ``(data, hypers, key, state) -> outcome`` after the last.
        segments: how many there are.
        shortened: the same training in segments of so many steps, to be timed; ``None``
            where there are no steps to count.
        steps: in a segment; 0 where they cannot be counted.
    """

    begin: Callable[[Any, Hypers, Key[Array, ""]], PyTree]
    advance: Callable[
        [Any, Hypers, Key[Array, ""], PyTree, Int[Array, ""]], tuple[PyTree, Outcome]
    ]
    finish: Callable[[Any, Hypers, Key[Array, ""], PyTree], Outcome]
    segments: int = 1
    shortened: "Callable[[int], Training] | None" = None
    steps: int = 0

    def __call__(self, data: Any, hypers: Hypers, key: Key[Array, ""]) -> Outcome:
        """The whole run: its curves, and what ``finish`` makes of its end."""

        def segment(state: PyTree, i: Int[Array, ""]) -> tuple[PyTree, Outcome]:
            return self.advance(data, hypers, key, state, i)

        state = self.begin(data, hypers, key)
        state, curves = jax.lax.scan(segment, state, jnp.arange(self.segments))
        return curves | self.finish(data, hypers, key, state)


def in_one_piece(train: Train) -> Training:
    """Any function of ``(data, hypers, key)`` as a training of one segment.

    Args:
        train: returns a flat dictionary of scalars and curves.
    """

    def advance(
        data: Any, hypers: Hypers, key: Key[Array, ""], state: PyTree, segment: Any
    ) -> tuple[PyTree, Outcome]:
        del state, segment
        return train(data, hypers, key), {}

    return Training(
        begin=lambda data, hypers, key: (),
        advance=advance,
        finish=lambda data, hypers, key, state: state,
    )
