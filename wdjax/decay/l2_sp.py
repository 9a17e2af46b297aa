"""Fine-tuning: old weights are pulled to their start, new ones to the origin."""

from collections.abc import Sequence
from typing import TypeAlias

import optax

from wdjax.decay import where as where_
from wdjax.decay.coupled import add_l2
from wdjax.decay.decoupled import decay_weights
from wdjax.decay.target import initial
from wdjax.types import ScalarOrSchedule

Patterns: TypeAlias = str | Sequence[str]


def l2_sp(
    start_l2: ScalarOrSchedule, origin_l2: ScalarOrSchedule, *, new: Patterns
) -> optax.GradientTransformation:
    r"""The gradient of the L2-SP penalty; put it *first* in a chain.

    .. math:: \frac{\alpha}{2}\,\|w_S - w_S^0\|^2
              + \frac{\beta}{2}\,\|w_{\bar S}\|^2

    with :math:`S` the pretrained leaves, :math:`w^0` their values at ``init``, and
    :math:`\bar S` the ``new`` ones. For biases and gains that shall be free, write the
    two :func:`~wdjax.add_l2` with a ``where=`` of your own.

    Args:
        start_l2: the paper's :math:`\alpha \ge 0`, towards the start; or its schedule.
        origin_l2: the paper's :math:`\beta \ge 0`, towards the origin; or its schedule.
        new: a regular expression for the whole paths of the new leaves, or several, as
            in :func:`wdjax.where.by_path`.

    Returns:
        ``chain(add_l2(start_l2, target=initial, …), add_l2(origin_l2, …))``. Memory: a
        copy of the pretrained leaves.

    Raises:
        ValueError: a coefficient is negative or not finite, or ``new`` is empty; from
            ``init``, one of ``new`` matches no leaf or two match the same.

    References:
        Li, Grandvalet & Davoine, *Explicit Inductive Bias for Transfer Learning with
        Convolutional Networks*, 2018, section 3, L2-SP.
    """
    return optax.chain(
        add_l2(start_l2, target=initial, where=_old(new)),  # g + α(w − w⁰)
        add_l2(origin_l2, where=_new(new)),  # g + βw
    )


def decay_sp(
    start_rate: ScalarOrSchedule, origin_rate: ScalarOrSchedule, *, new: Patterns
) -> optax.GradientTransformation:
    r"""The decoupled twin of :func:`l2_sp`; put it *last* in a chain.

    .. math:: w_S \leftarrow w_S - \delta_t\,(w_S - w_S^0),
              \qquad w_{\bar S} \leftarrow (1 - \delta'_t)\,w_{\bar S}

    Args:
        start_rate: :math:`\delta_t \in [0, 1]` of the pretrained leaves, the fraction
            of the way back to the start; or its schedule.
        origin_rate: :math:`\delta'_t \in [0, 1]` of the new ones; or its schedule.
        new: see :func:`l2_sp`.

    Returns:
        ``chain(decay_weights(start_rate, target=initial, …), decay_weights(…))``.
        Memory: a copy of the pretrained leaves.

    Raises:
        ValueError: a rate is not in [0, 1]; else as :func:`l2_sp`.
    """
    return optax.chain(
        decay_weights(start_rate, target=initial, where=_old(new)),
        decay_weights(origin_rate, where=_new(new)),
    )


def _old(new: Patterns) -> where_.Where:
    return where_.by_path(dict.fromkeys(_each(new), 0.0), default=1.0)


def _new(new: Patterns) -> where_.Where:
    return where_.by_path(dict.fromkeys(_each(new), 1.0), default=0.0)


def _each(new: Patterns) -> Sequence[str]:
    return [new] if isinstance(new, str) else new
