"""Assertions on an optimizer's weight decay, for tests and CI; by audit."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import where as where_
from wdjax.decay.convention import Convention
from wdjax.inspect.auditing import Audit, audit

DECAYS = {"decoupled", "growing"}


def assert_decays(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    *,
    rate: float,
    where: where_.Where = None,
    rtol: float = 1e-3,
    extra_args: Mapping[str, Any] | None = None,
) -> None:
    r"""Assert that an optimizer's decay is decoupled, at a rate, on some leaves only.

    Args:
        optimizer: any.
        params: the parameters that it trains.
        rate: :math:`δ`, the largest of the first steps; negative where weights grow.
        where: which leaves decay, and how strongly, as in
            :func:`wdjax.decay_weights`; all if not given.
        rtol: allowed of the rate.
        extra_args: what the update needs besides, such as ``{"value": 1.0}``.

    Raises:
        ValueError: ``rate`` is 0 or not finite.
        AssertionError: a leaf decays in another way, or by another rate, or it could
            not be told; the message says which.
    """
    if not (math.isfinite(rate) and rate):
        raise ValueError(
            f"rate is {rate}; give a finite one that is not 0, or use "
            "assert_never_decays."
        )
    check.has_parameters("assert_decays", params)
    found = _known(audit(optimizer, params, extra_args=extra_args))
    expected = where_.pulled(where, params)
    wrong = []
    for path, leaf in found.per_leaf.items():
        multiplier = expected.get(path)
        if multiplier is None:
            if leaf.kind != "none":
                wrong.append(f"{path!r} should be left alone, and is {leaf.kind}")
            continue
        target = float(multiplier) * rate
        if leaf.kind not in DECAYS or leaf.decay_rate is None:
            wrong.append(f"{path!r} should decay by {target:.4g}, and is {leaf.kind}")
        elif abs(leaf.decay_rate - target) > rtol * abs(target):
            wrong.append(
                f"{path!r} should decay by {target:.4g}, and does by "
                f"{leaf.decay_rate:.4g}"
            )
    if wrong:
        raise AssertionError(
            _listed("The decay is not what was asserted", wrong, found)
        )


def assert_convention(
    factory: Callable[..., optax.GradientTransformation],
    convention: Convention,
    *,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.1,
    params: PyTree = None,
    extra_args: Mapping[str, Any] | None = None,
) -> None:
    r"""Assert that a factory's decay is :math:`δ_t = λ α^a η_t^b` for given exponents.

    Args:
        factory: ``(learning_rate, weight_decay) -> optimizer``, or such as
            :func:`audit` takes; it is given schedules too.
        convention: the exponents, such as ``wdjax.PYTORCH``.
        learning_rate: α.
        weight_decay: λ.
        params: the parameters; a matrix and a bias if not given.
        extra_args: what the update needs besides.

    Raises:
        AssertionError: the decay is not decoupled, or follows another convention, or it
            could not be told.
    """
    found = _known(
        audit(
            factory,
            params,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            extra_args=extra_args,
        )
    )
    fit = found.convention
    if found.kind != "decoupled" or fit is None:
        raise AssertionError(f"The decay is {found.kind}, not decoupled.\n{found}")
    close = 0.02
    off = (abs(fit.peak - convention.peak), abs(fit.schedule - convention.schedule))
    if not max(off) < close or not fit.residual < close:  # NaN is not close
        raise AssertionError(
            f"The decay is λ·α^{fit.peak:.3g}·η_t^{fit.schedule:.3g}, not "
            f"λ·α^{convention.peak:g}·η_t^{convention.schedule:g}.\n{found}"
        )


def assert_never_decays(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    *,
    extra_args: Mapping[str, Any] | None = None,
) -> None:
    """Assert that no update depends on the weights in any way.

    Args:
        optimizer: any.
        params: the parameters that it trains.
        extra_args: what the update needs besides.

    Raises:
        AssertionError: some leaf's updates do, or it could not be told.
    """
    check.has_parameters("assert_never_decays", params)
    found = _known(audit(optimizer, params, extra_args=extra_args))
    wrong = [
        f"{path!r} is {leaf.kind}"
        for path, leaf in found.per_leaf.items()
        if leaf.kind != "none"
    ]
    if wrong:
        raise AssertionError(_listed("Updates depend on the weights", wrong, found))


def _known(found: Audit) -> Audit:
    if found.kind == "unknown":
        raise AssertionError(f"The decay could not be told.\n{found}")
    return found


def _listed(what: str, wrong: list[str], found: Audit) -> str:
    return f"{what}: {'; '.join(wrong)}.\n{found}"
