r"""Schedule multipliers :math:`\eta_t \in [0, 1]`; the learning rate is αη_t."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Multiplier = Callable[[jax.typing.ArrayLike], Float[Array, ""]]


def constant(steps: int) -> Multiplier:
    r""":math:`\eta_t = 1`."""
    del steps
    return lambda t: jnp.ones(())


def step(steps: int) -> Multiplier:
    r""":math:`\eta_t` = 1; from half of the steps 1/10, from three quarters 1/100."""
    drops = {steps // 2: 0.1, 3 * steps // 4: 0.1}
    return optax.piecewise_constant_schedule(1.0, drops)  # pyright: ignore[reportReturnType]


def cosine(steps: int) -> Multiplier:
    r""":math:`\eta_t = \tfrac12 (1 + \cos(\pi t / T))`, :math:`T` = ``steps``."""
    return optax.cosine_decay_schedule(1.0, steps)  # pyright: ignore[reportReturnType]


def warm_up(steps: int, then: Multiplier) -> Multiplier:
    r"""Rise linearly, in front of any multiplier.

    .. math::

        \eta_t = \frac{t + 1}{W + 1}\, \eta'_0 \quad (t < W), \qquad
        \eta_t = \eta'_{t - W} \quad (t \ge W)

    so that no step is without effect, and all rises are equal, the last one to
    :math:`\eta'_0` too.

    Args:
        steps: :math:`W \ge 0`.
        then: the multiplier :math:`\eta'_t` that follows.

    Returns:
        The multiplier :math:`\eta_t`.

    Raises:
        ValueError: ``steps`` is negative.

    References:
        Goyal et al., *Accurate, Large Minibatch SGD*, 2017, section 2.2 (gradual
        warm-up).
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}; a warm-up cannot have fewer than none.")

    def multiplier(t: jax.typing.ArrayLike) -> Float[Array, ""]:
        t = jnp.asarray(t)
        eta = then(jnp.maximum(t - steps, 0))
        return eta * jnp.minimum(t + 1, steps + 1) / (steps + 1)

    return multiplier


def warm_restarts(steps: int, T_0: int | None = None, T_mult: int = 2) -> Multiplier:
    r"""Fall as a cosine, and again from 1, in cycles that grow (SGDR).

    .. math::

        \eta_t = \tfrac12 \Bigl(1 + \cos \frac{\pi T_\text{cur}}{T_i}\Bigr), \qquad
        T_i = T_0\, T_\text{mult}^i

    where :math:`T_\text{cur}` is the number of steps since the last restart. After
    ``steps`` there are no more restarts.

    Args:
        steps: length of the run.
        T_0: length of the first cycle, in steps; if not given, such that the run ends
            with its third cycle (for ``T_mult`` = 2, a seventh of the steps).
        T_mult: by how much each cycle is longer than the one before, at least 1.

    Returns:
        The multiplier :math:`\eta_t`.

    Raises:
        ValueError: a length or the factor is below 1.

    References:
        Loshchilov & Hutter, *SGDR*, 2017, equation (5) with
        :math:`\eta_\text{min} = 0`, :math:`\eta_\text{max} = 1`. There
        :math:`T_\text{cur}` is in epochs, updated at each batch.
    """
    T_0 = -(-steps // (1 + T_mult + T_mult**2)) if T_0 is None else T_0
    for name, value in {"steps": steps, "T_0": T_0, "T_mult": T_mult}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    cycles = (T_0 * T_mult**i for i in itertools.count())
    ends = itertools.accumulate(cycles)
    starts = jnp.asarray([0, *itertools.takewhile(lambda end: end < steps, ends)])
    lengths = T_0 * T_mult ** jnp.arange(len(starts))

    def multiplier(t: jax.typing.ArrayLike) -> Float[Array, ""]:
        # A table of whole steps: a logarithm would restart a step early or late.
        i = jnp.searchsorted(starts, jnp.asarray(t), side="right") - 1
        T_cur = jnp.minimum(t - starts[i], lengths[i])
        return (1 + jnp.cos(jnp.pi * T_cur / lengths[i])) / 2

    return multiplier


def warm_up_cosine(steps: int) -> Multiplier:
    r"""A warm-up over a twentieth of the steps, then a cosine over the others."""
    rise = steps // 20
    return warm_up(rise, cosine(steps - rise))


SCHEDULES: Mapping[str, Callable[[int], Multiplier]] = MappingProxyType(
    {
        "constant": constant,
        "step": step,
        "cosine": cosine,
        "warm_up_cosine": warm_up_cosine,
        "warm_restarts": warm_restarts,
    }
)
