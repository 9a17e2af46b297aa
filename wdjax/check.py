"""Sentences for bad input, said before anything is compiled."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from jax.core import Tracer

INJECT = "To change it over the steps, wrap the optimizer in optax.inject_hyperparams."


def is_concrete(value: Any) -> bool:
    """Whether the value is known now: neither traced nor a schedule."""
    return not callable(value) and not isinstance(value, Tracer)


def non_negative(name: str, value: Any) -> None:
    """Refuse a concrete hyper-parameter that is not a finite scalar ≥ 0.

    Args:
        name: the argument's name, for the message.
        value: a number, an array, a traced value or a schedule; the last two
            cannot be looked at before the run and pass.

    Raises:
        ValueError: naming the argument, its value and the remedy.
    """
    _check_scalar(name, value, "a number, an array of shape () or a schedule")


def number(name: str, value: Any, remedy: str = INJECT) -> None:
    """Refuse a schedule, and what :func:`non_negative` refuses.

    Args:
        name: the argument's name, for the message.
        value: a number, an array or a traced value.
        remedy: what to do instead of giving a schedule.

    Raises:
        ValueError: naming the argument, its value and the remedy.
    """
    if callable(value):
        raise ValueError(f"{name} is the schedule {value!r}; give a number. {remedy}")
    _check_scalar(name, value, "a number or an array of shape ()")


def positive(name: str, value: Any, remedy: str = INJECT) -> None:
    """Refuse a schedule, and a concrete number that is not a finite scalar > 0."""
    number(name, value, remedy)
    if is_concrete(value) and float(value) == 0:
        raise ValueError(f"{name} is 0; it must be larger than 0.")


def fraction(name: str, value: Any) -> None:
    """Refuse a concrete hyper-parameter that is not a finite scalar in [0, 1]."""
    non_negative(name, value)
    if is_concrete(value) and float(value) > 1:
        raise ValueError(
            f"{name} is {float(value):g}; it is the fraction of the weights removed in "
            "a step, at most 1. Lower weight_decay or learning_rate; or, where a "
            "coefficient λ was given for it, make it with "
            "wdjax.decay_rate(weight_decay, learning_rate)."
        )


def below_one(name: str, value: Any) -> None:
    """Refuse a schedule, and a concrete momentum that is not a scalar in [0, 1)."""
    number(name, value)
    if is_concrete(value) and float(value) >= 1:
        raise ValueError(
            f"{name} is {float(value):g}; it must be at least 0 and below 1, or the "
            "average never takes in a gradient. (0.999 in bfloat16 is 1: give it in "
            "float32.)"
        )


def momentum(value: Any, nesterov: bool) -> None:
    """Refuse what :func:`below_one` does, and Nesterov's step without a momentum."""
    if value is not None:
        below_one("momentum", value)
    elif nesterov:
        raise ValueError(
            "nesterov is True and momentum is None, which leaves nothing to look "
            "ahead with; give momentum, or nesterov=False."
        )


def has_parameters(caller: str, params: Any) -> None:
    """Refuse an ``update`` that was not given the parameters."""
    if params is None:
        raise ValueError(
            f"{caller} needs the parameters: call "
            "optimizer.update(grads, state, params)."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name and lists them all."""
    names = list(known)

    def likeness(candidate: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), candidate).ratio()

    best = max(names, key=likeness)
    hint = f"Did you mean {best!r}? " if likeness(best) >= 0.4 else ""
    return f"{hint}Known: {', '.join(names)}."


def _check_scalar(name: str, value: Any, allowed: str) -> None:
    if not is_concrete(value):
        if not callable(value) and value.ndim != 0:
            raise ValueError(_not_scalar(name, value.shape))
        return
    try:
        if value is None or isinstance(value, str | bytes):
            raise TypeError  # NumPy would read them as nan and as a number
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be {allowed}.") from None
    if array.ndim != 0:
        raise ValueError(_not_scalar(name, array.shape))
    if not math.isfinite(array) or array < 0:
        raise ValueError(
            f"{name} is {float(array):g}; it must be finite and at least 0. "
            "Check its sign and the expression that made it."
        )


def _not_scalar(name: str, shape: tuple[int, ...]) -> str:
    return (
        f"{name} has shape {tuple(shape)}; it must be a scalar. To try several "
        "values at once, vmap over it; to weight leaves, use `where`."
    )
