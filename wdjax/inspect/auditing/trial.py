"""Runs of a black box along given weights, which do not follow its updates.

So an update that differs when only the weights were changed depends on them. A change
at one step that shows in later updates was kept in the state.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from wdjax.inspect.auditing.laboratory import Box, Leaves, minus, plus

Shapes: TypeAlias = Sequence[tuple[int, ...]]

STEPS = 8
LARGE = 10_000  # entries of a leaf, from which on draws are shifts of one another


@dataclass(frozen=True)
class Path:
    """What a box is given.

    Attributes:
        start: the weights that its state is made from.
        thetas: the weights of each step.
        gradients: likewise.
    """

    start: Leaves
    thetas: list[Leaves]
    gradients: list[Leaves]

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.thetas)


class Draws:
    """Trees of normal draws that are not alike: of large leaves, shifts of one draw.

    Args:
        shapes: of the leaves.
        seed: of the draws.
    """

    def __init__(self, shapes: Shapes, seed: int):
        """Nothing is drawn yet."""
        self.shapes = shapes
        self.rng = np.random.default_rng(seed)
        self.pools: dict[tuple[int, float], np.ndarray] = {}

    def next(self, scale: float = 1.0) -> Leaves:
        """Another tree, of a standard deviation."""
        return [self._leaf(shape, scale) for shape in self.shapes]

    def _leaf(self, shape: tuple[int, ...], scale: float) -> np.ndarray:
        size = math.prod(shape)
        if not scale:
            return np.zeros(shape)
        if size < LARGE:
            return scale * self.rng.standard_normal(shape)
        if (size, 1.0) not in self.pools:
            self.pools[size, 1.0] = np.tile(self.rng.standard_normal(size), 2)
        factor = scale * float(self.rng.choice((-1.0, 1.0)))
        if (size, factor) not in self.pools:
            self.pools[size, factor] = factor * self.pools[size, 1.0]
        start = int(self.rng.integers(1, size))
        return self.pools[size, factor][start : start + size].reshape(shape)


def drawn(
    shapes: Shapes,
    steps: int,
    seed: int,
    *,
    weights: float = 1.0,
    gradients: float = 1.0,
) -> Path:
    """A path of normal draws, independent in each step.

    Args:
        shapes: of the leaves.
        steps: how many.
        seed: of the draws.
        weights: their standard deviation.
        gradients: likewise; 0 for none.
    """
    draws = Draws(shapes, seed)
    return Path(
        start=draws.next(weights),
        thetas=[draws.next(weights) for _ in range(steps)],
        gradients=[draws.next(gradients) for _ in range(steps)],
    )


@dataclass(frozen=True)
class Trial:
    """A box on a path.

    Attributes:
        box: the optimizer.
        path: what it is given.
    """

    box: Box
    path: Path

    @cached_property
    def states(self) -> list[Any]:
        """The state before each step."""
        return self._recorded[0]

    @cached_property
    def updates(self) -> list[Leaves]:
        """The update of each step."""
        return self._recorded[1]

    @cached_property
    def directions(self) -> list[Leaves]:
        """Changes of each step's weights, across its θ, g and u in every leaf."""
        path, found = self.path, []
        known = zip(path.thetas, path.gradients, self.updates, strict=True)
        for t, (theta, g, u) in enumerate(known):
            v = Draws([a.shape for a in path.start], seed=30 + t).next()
            along = zip(theta, u, g, strict=True)
            found.append([across(d, a) for d, a in zip(v, along, strict=True)])
        return found

    @cached_property
    def _recorded(self) -> tuple[list[Any], list[Leaves]]:
        states, updates, state = [], [], self.box.init(self.path.start)
        for theta, g in zip(self.path.thetas, self.path.gradients, strict=True):
            states.append(state)
            u, state = self.box.step(state, g, theta)
            updates.append(u)
        return states, updates

    def changed(
        self, step: int, dtheta: Leaves, dg: Leaves | None = None
    ) -> list[Leaves]:
        """The updates from a step on, after a change of what it is given."""
        theta = plus(self.path.thetas[step], dtheta)
        g = self.path.gradients[step]
        u, state = self.box.step(
            self.states[step], g if dg is None else plus(g, dg), theta
        )
        return [u, *self._later(step + 1, state)]

    def now(self, step: int, theta: Leaves, g: Leaves | None = None) -> Leaves:
        """One update, for other weights and gradients in that step alone."""
        g = self.path.gradients[step] if g is None else g
        return self.box.step(self.states[step], g, theta)[0]

    def restarted(self, start: Leaves) -> list[Leaves]:
        """All updates, with a state that was made from other weights."""
        return self._later(0, self.box.init(start))

    def impulse(self, step: int, v: Leaves, size: float = 1.0) -> list[Leaves]:
        r"""Half the difference that :math:`θ_s ± v` make to each update since."""
        up, down = (
            self.changed(step, [sign * size * d for d in v]) for sign in (1.0, -1.0)
        )
        return [half(a, b, size) for a, b in zip(up, down, strict=True)]

    def impulse_at_start(self, v: Leaves) -> list[Leaves]:
        """The same for the weights that the state was made from."""
        up, down = (
            self.restarted(plus(self.path.start, v, sign)) for sign in (1.0, -1.0)
        )
        return [half(a, b) for a, b in zip(up, down, strict=True)]

    def derivatives(self, step: int, dtheta: Leaves, dg: Leaves) -> list[Leaves]:
        """Derivatives of the updates from a step on, by forward differentiation."""
        still, found, dstate = zeros(dtheta), [], None
        for t in range(step, len(self.path)):
            along = (dg, dtheta) if t == step else (still, still)
            du, dstate = self.box.push(self.states[t], self._given(t), dstate, along)
            found.append(du)
        return found

    def derivatives_now(self, step: int, dtheta: Leaves, dg: Leaves) -> Leaves:
        """The derivative of one update, the state held."""
        return self.box.push(self.states[step], self._given(step), None, (dg, dtheta))[
            0
        ]

    def _given(self, step: int) -> tuple[Leaves, Leaves]:
        return self.path.gradients[step], self.path.thetas[step]

    def _later(self, step: int, state: Any) -> list[Leaves]:
        updates = []
        for t in range(step, len(self.path)):
            u, state = self.box.step(state, self.path.gradients[t], self.path.thetas[t])
            updates.append(u)
        return updates


def here(box: Box, shapes: Shapes) -> Trial:
    """The box on the path that everything is measured on."""
    return Trial(box, drawn(shapes, STEPS, seed=1))


def elsewhere(box: Box, shapes: Shapes) -> Trial:
    """The box where gradients are 1/100 and weights twice as large."""
    return Trial(box, drawn(shapes, STEPS, seed=2, weights=2.0, gradients=0.01))


def across(v: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """What of a direction stands at right angles to others, as long as one is left."""
    kept = [other.ravel() for other in others if np.vdot(other, other) > 0]
    kept = [other / np.sqrt(np.vdot(other, other)) for other in kept[: v.size - 1]]
    if not kept:
        return v
    B, rest = np.stack(kept), v.ravel()
    inverse = np.linalg.pinv(B @ B.T, rcond=1e-10, hermitian=True)
    for _ in range(2):  # once more for what rounding left
        rest = rest - B.T @ (inverse @ (B @ rest))
    return rest.reshape(v.shape)


def zeros(like: Leaves) -> Leaves:
    """No change."""
    return [np.zeros_like(a) for a in like]


def half(a: Leaves, b: Leaves, size: float = 1.0) -> Leaves:
    """``(a − b) / (2 size)``: of differences both ways, what is odd."""
    return [np.divide(d, 2 * size, out=d) for d in minus(a, b)]
