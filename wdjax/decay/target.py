r"""Where to: the points that weights are pulled towards, as plain data.

Every ``target=`` argument takes one of them. A target states

* ``init(params)``: what to remember of each leaf, in the parameters' structure; or
  ``None`` for nothing at all;
* ``refresh(memory, theta)``: the memory of a leaf after meeting :math:`\theta_t`;
* ``displacement(at, memory)``: :math:`x`, the way from the target to a point.

====================  ============================================  ==================
target                the point                                     memory per leaf
====================  ============================================  ==================
`origin`              0                                             none
`initial`             :math:`\theta_0`                              a copy
:func:`towards`       any, given                                    a copy
:func:`average`       :math:`\bar\theta_t`, a running mean          a copy, float32 up
:func:`norm`          the nearest one of norm :math:`R`             a number per layer
:func:`initial_norm`  the same, with :math:`R = r\|\theta_0\|`      a number per layer
====================  ============================================  ==================

Only pulled leaves are remembered. The last two are ``radial``: they pull whole layers
along themselves, so only the quadratic pull makes sense with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from wdjax import check
from wdjax.decay import layers
from wdjax.decay.where import leaves
from wdjax.types import ScalarLike


@runtime_checkable
class Target(Protocol):
    """What a target must be able to say of itself."""

    def init(self, params: PyTree) -> PyTree:
        """The memory of each leaf."""
        ...

    def refresh(self, memory: Any, theta: Array) -> Any:
        """The memory of a leaf after one more step."""
        ...

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the target to a point."""
        ...


def _rests(self: Target, memory: Any, theta: Any) -> Any:
    """What such a target remembers does not change."""
    del self, theta
    return memory


@dataclass(frozen=True)
class Origin:
    """Zero: what weight decay means where nothing else is said."""

    def init(self, params: PyTree) -> None:
        """Nothing to remember."""
        del params

    refresh = _rests

    def displacement(self, at: Array, memory: Any) -> Array:
        """The point itself."""
        del memory
        return at


@dataclass(frozen=True)
class Initial:
    """The weights that ``init`` met."""

    def init(self, params: PyTree) -> PyTree:
        """A copy, so that the parameters' own buffers can be donated."""
        return jax.tree.map(_copy, params)

    refresh = _rests

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the start."""
        return at - memory


@dataclass(frozen=True)
class Average:
    """A running mean of the weights; see :func:`average`."""

    decay: ScalarLike

    def init(self, params: PyTree) -> PyTree:
        """The mean starts where the weights do."""
        return jax.tree.map(_copy_widened, params)

    def refresh(self, memory: Any, theta: Any) -> Any:
        """θ̄ ← γθ̄ + (1 − γ)θ, in the memory's dtype."""
        # θ̄ + (1 − γ)(θ − θ̄): weights that rest are their own mean, exactly.
        return (memory + (1 - self.decay) * (theta - memory)).astype(memory.dtype)

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the mean."""
        return at - memory


@dataclass(frozen=True, eq=False)
class Towards:
    """A given point; see :func:`towards`."""

    tree: PyTree

    def init(self, params: PyTree) -> PyTree:
        """A copy of the point's leaves, in the parameters' structure.

        Raises:
            ValueError: the point does not fit the parameters.
        """
        thetas, structure = leaves.leaves_of(params), jax.tree.structure(params)
        if not thetas:  # `optax.tree.map_params` looks for ours
            return params
        points = _points(self.tree)
        _refuse_misfit(points, thetas)
        return structure.unflatten(
            [_copy(points[leaf.path]) for leaf in thetas if leaf.shape is not None]
        )

    refresh = _rests

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the point."""
        return at - memory


@dataclass(frozen=True)
class Norm:
    """The sphere of a given radius; see :func:`norm`."""

    radius: ScalarLike
    stacked: Mapping[str, int] | None
    radial: ClassVar[bool] = True

    def init(self, params: PyTree) -> PyTree:
        """The radius, once for each layer."""

        def radius(square: Array) -> Array:
            return jnp.full_like(square, self.radius)

        return layers.per_layer(radius, params, self.stacked)

    refresh = _rests

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the nearest point of the sphere."""
        return _from_sphere(at, memory)


@dataclass(frozen=True)
class InitialNorm:
    """The sphere through the start; see :func:`initial_norm`."""

    factor: ScalarLike
    stacked: Mapping[str, int] | None
    radial: ClassVar[bool] = True

    def init(self, params: PyTree) -> PyTree:
        """The radius of each layer, r‖θ₀‖."""

        def radius(square: Array) -> Array:
            return (self.factor * layers.root(square)).astype(square.dtype)

        return layers.per_layer(radius, params, self.stacked)

    refresh = _rests

    def displacement(self, at: Array, memory: Any) -> Array:
        """The way from the nearest point of the sphere."""
        return _from_sphere(at, memory)


origin = Origin()
"""The origin."""

initial = Initial()
r"""The weights at ``init``, :math:`\theta_0`: L2-SP, for fine-tuning.

Memory: a copy of the pulled leaves. :func:`wdjax.l2_sp` treats new heads apart.

References:
    Li, Grandvalet & Davoine, *Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks*, 2018, section 3.
"""


def average(decay: ScalarLike) -> Average:
    r"""A running mean of the weights' own path.

    .. math:: \bar\theta_t = \gamma\bar\theta_{t-1} + (1 - \gamma)\,\theta_t,
              \qquad \bar\theta_{-1} = \theta_0

    Step :math:`t` pulls towards :math:`\bar\theta_t`, which has met :math:`\theta_t`
    (the weights that the step starts from) but not the step itself. Of the way from the
    older mean that is the part :math:`\theta_t - \bar\theta_t = \gamma(\theta_t -
    \bar\theta_{t-1})`.

    Args:
        decay: :math:`\gamma \in [0, 1]`. 1 is :data:`initial`; 0 pulls nowhere.

    Returns:
        A target. Memory: a copy of the pulled leaves in float32 at least, for in
        bfloat16 the mean would stall as soon as :math:`1 - \gamma < 2^{-9}`.

    Raises:
        ValueError: ``decay`` is not in [0, 1].
    """
    check.number("target.average: decay", decay)
    if check.is_concrete(decay) and decay > 1:
        raise ValueError(
            f"target.average: decay is {float(decay):g}; it is the weight γ of the old "
            "mean, at most 1, such as 0.999."
        )
    return Average(decay)


def towards(tree: PyTree) -> Towards:
    r"""A given point: a teacher, a checkpoint, the mean of other runs.

    Args:
        tree: its leaves have the paths and shapes of the parameters. Under
            ``optax.partition`` and ``optax.masked`` it may be whole: what they hide is
            skipped.

    Returns:
        A target. Memory: a copy of the pulled leaves; it lives in the optimizer's
        state, so a compiled step takes it as an argument, not as a constant.

    Raises:
        ValueError: from ``init``, naming a leaf that the point lacks, has in excess, or
            has in another shape.
    """
    return Towards(tree)


def norm(radius: ScalarLike, *, stacked: Mapping[str, int] | None = None) -> Norm:
    r"""The nearest weights of a given norm: weight norm control.

    .. math:: x = \theta\left(1 - \frac{R}{\|\theta\|}\right),
              \qquad \|x\| = \bigl|\|\theta\| - R\bigr|

    leaf by leaf, or layer by layer. Weights that are all zero have no direction and are
    not pulled. :math:`R = 0` is the origin.

    Args:
        radius: :math:`R \ge 0`, of every pulled layer.
        stacked: how many leading axes count layers or members, by patterns of paths;
            see :func:`wdjax.where.stack_axes`. Each layer then has a norm of its own.

    Returns:
        A target. Memory: one number for each layer.

    Raises:
        ValueError: ``radius`` is negative or not finite; from ``init``, a pattern of
            ``stacked`` matches no leaf.

    References:
        Loshchilov, *Weight Norm Control*, 2023, eq. (3), with the absolute target norm
        of the text below it: 0 is weight decay, and a rate of 1 sets the norm at once.
    """
    check.number("target.norm: radius", radius)
    return Norm(radius, stacked)


def initial_norm(
    factor: ScalarLike = 1.0, *, stacked: Mapping[str, int] | None = None
) -> InitialNorm:
    r"""The nearest weights of a multiple of the norm at the start.

    .. math:: R = r\,\|\theta_0\|

    A layer that starts at zero has :math:`R = 0`: it is pulled to the origin.

    Args:
        factor: :math:`r \ge 0`.
        stacked: see :func:`norm`.

    Returns:
        A target. Memory: one number for each layer.

    Raises:
        ValueError: ``factor`` is negative or not finite; from ``init``, a pattern of
            ``stacked`` matches no leaf.

    References:
        Loshchilov, *Weight Norm Control*, 2023, eq. (3), its ratio of target and
        initial norm; see :func:`norm`.
    """
    check.number("target.initial_norm: factor", factor)
    return InitialNorm(factor, stacked)


def _from_sphere(at: Array, radius: Array) -> Array:
    square = layers.square_sum(at, layers.within(radius))
    factor = 1 - layers.over(radius, layers.root(square))
    return at * jnp.where(square > 0, factor, 0)  # θ(1 − R/‖θ‖)


def _copy(theta: Any) -> Array:
    return jnp.array(theta, copy=True)


def _copy_widened(theta: Any) -> Array:
    dtype = jnp.promote_types(jnp.result_type(theta), jnp.float32)
    return jnp.array(theta, dtype, copy=True)


def _points(tree: PyTree) -> dict[str, Any]:
    """The leaves of a point, by the paths that parameters have."""
    shown = (leaf.path for leaf in leaves.leaves_of(tree) if leaf.shape is not None)
    return dict(zip(shown, jax.tree.leaves(tree), strict=True))


def _refuse_misfit(points: dict[str, Any], thetas: list[leaves.Leaf]) -> None:
    visible = {leaf.path: leaf for leaf in thetas if leaf.shape is not None}
    for name, leaf in visible.items():
        if name not in points:
            raise ValueError(
                f"target.towards: the point has no leaf {name!r}, which the parameters "
                f"have. Its leaves: {', '.join(list(points)[:8])}."
            )
        if jnp.shape(points[name]) != leaf.shape:
            raise ValueError(
                f"target.towards: leaf {name!r} of the point has shape "
                f"{jnp.shape(points[name])}, that of the parameters "
                f"{leaf.shape}; give a point of the parameters' shapes."
            )
    hidden = [leaf.path for leaf in thetas if leaf.shape is None]
    for name in points:
        if name not in visible and not any(_below(name, path) for path in hidden):
            raise ValueError(
                f"target.towards: the point has a leaf {name!r}, which the parameters "
                f"do not. Theirs: {', '.join(list(visible)[:8])}."
            )


def _below(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}/")
