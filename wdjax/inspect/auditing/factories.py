"""Factories of optimizers, called by name where their arguments have names."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import optax

Factory: TypeAlias = Callable[[Any, Any], optax.GradientTransformation]

RATE = "learning_rate"
DECAYS = ("weight_decay", "weight_decay_rate", "l2")


def is_one(optimizer: Any) -> bool:
    """Whether it is an optimizer, and no factory.

    Raises:
        ValueError: it is neither.
    """
    one = hasattr(optimizer, "init") and hasattr(optimizer, "update")
    if not one and not callable(optimizer):
        raise ValueError(
            f"optimizer is a {type(optimizer).__name__}; it must be a gradient "
            "transformation, or a function of (learning_rate, weight_decay) to one."
        )
    return one


class Named(NamedTuple):
    """A factory of known arguments.

    Attributes:
        make: called with a learning rate and a weight decay, by position.
        decays: whether the weight decay goes anywhere.
    """

    make: Factory
    decays: bool


def by_name(
    factory: Callable[..., optax.GradientTransformation], learning_rate: float
) -> Named:
    """A factory of ``(learning_rate, weight_decay)`` from one with other arguments.

    Args:
        factory: such as ``optax.adamw``, whose second argument is no decay; or one of
            two arguments of any name, which are given in order.
        learning_rate: for one that takes no decay.

    Returns:
        The factory, which sets ``weight_decay``, ``weight_decay_rate`` or ``l2`` by
        name if it has one of them.

    Raises:
        ValueError: it needs arguments that are neither.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # of a builtin
        return Named(factory, decays=True)
    decay = next((name for name in DECAYS if name in parameters), None)
    if decay is not None and RATE in parameters:
        return Named(lambda a, lam: factory(**{RATE: a, decay: lam}), decays=True)
    needed = [p.name for p in parameters.values() if _is_needed(p)]
    if len(needed) == 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return Named(factory, decays=True)
    if needed in ([], [RATE]):
        known = {RATE: learning_rate} if RATE in parameters else {}
        return Named(lambda *_: factory(**known), decays=False)
    raise ValueError(
        f"The factory needs {', '.join(needed)}; give a function of ({RATE}, "
        "weight_decay) to an optimizer, or one optimizer."
    )


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    return parameter.default is parameter.empty and parameter.kind not in variable
