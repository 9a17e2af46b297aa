r"""Where weight decay and gradient noise balance: norm and rotation of the weights.

On scale-invariant weights :math:`w` the gradient is orthogonal to :math:`w` and only
lengthens it, and decay shortens it. The model is a random walk: gradients of successive
steps are independent, with mean 0. Each adds :math:`c^2` to :math:`\|w\|^2` in the end,
through the momentum too, and a step of decay takes the part :math:`2\delta` away, so

.. math:: 2\,\delta\,\|w\|^2 = c^2,

to leading order in :math:`\delta/(1-\beta)`. The constant learning rate is
:math:`\alpha`, the fraction of :math:`w` removed per step :math:`\delta`. Trained
networks are near this balance once :math:`\delta` times the number of steps is 3 or
more, layers whose gradients are mostly signal are not.

Every formula has its inverse beside it, which ends in ``_decay``. Without the
approximation, and for Lion, see :mod:`~wdjax.theory.stationary`.

References:
    Kosson, Messmer & Jaggi, *Rotational Equilibrium: How Weight Decay Balances Learning
    Across Neural Networks*, 2024. The formulas are derived here; the rotations are
    those of the authors' code, ``adamw_etar_func`` and ``sgdm_etar_func`` of epfml/REQ.
"""

from wdjax.types import ScalarLike


def rotation(decay_rate: ScalarLike, momentum: ScalarLike) -> ScalarLike:
    r"""The angle by which the weights turn in a step, for AdamW, SGDW and SGD with L2.

    .. math:: \frac{\operatorname{rms}\|\alpha m\|}{\|w\|}
              = \sqrt{2\,\delta\,\frac{1-\beta}{1+\beta}}

    An average of independent gradients over the memory of :math:`\beta` is shorter than
    their sum by :math:`\sqrt{(1-\beta)/(1+\beta)}`. For SGD with an L2 penalty,
    :math:`\delta = \alpha\lambda_2/(1-\beta)`, this is
    :math:`\sqrt{2\alpha\lambda_2/(1+\beta)}`.

    Args:
        decay_rate: :math:`\delta`, small against :math:`1 - \beta`.
        momentum: :math:`\beta \in [0, 1)`, Adam's :math:`\beta_1`.

    Returns:
        The root mean square of the angle, in radians, while it is small.
    """
    return (2 * decay_rate * (1 - momentum) / (1 + momentum)) ** 0.5


def rotation_decay(rotation: ScalarLike, momentum: ScalarLike) -> ScalarLike:
    r"""The decay rate under which the weights turn by an angle in a step.

    .. math:: \delta = \frac{\varphi^2}{2}\,\frac{1+\beta}{1-\beta}

    The inverse of :func:`rotation`.

    Args:
        rotation: the angle :math:`\varphi`, in radians.
        momentum: :math:`\beta \in [0, 1)`, Adam's :math:`\beta_1`.

    Returns:
        :math:`\delta`.
    """
    return rotation**2 / 2 * (1 + momentum) / (1 - momentum)


def adamw_rms(learning_rate: ScalarLike, decay_rate: ScalarLike) -> ScalarLike:
    r"""The size of a weight under AdamW.

    .. math:: \operatorname{rms}(w_i) = \frac{\alpha}{\sqrt{2\,\delta}}
              = \sqrt{\frac{\alpha}{2\lambda}}
              \quad\text{if}\quad \delta = \alpha\lambda

    Adam divides each gradient by its own size, so that it contributes
    :math:`c = \alpha` to each weight, whatever the loss: :math:`\beta_2` near 1 and
    :math:`\epsilon` negligible.

    Args:
        learning_rate: :math:`\alpha`.
        decay_rate: :math:`\delta`, small against :math:`1 - \beta_1`.

    Returns:
        The root mean square of the layer's entries.
    """
    return learning_rate / (2 * decay_rate) ** 0.5


def adamw_rms_decay(learning_rate: ScalarLike, rms: ScalarLike) -> ScalarLike:
    r"""The decay rate under which AdamW's weights have a size.

    .. math:: \delta = \frac{\alpha^2}{2\operatorname{rms}^2}

    The inverse of :func:`adamw_rms`.

    Args:
        learning_rate: :math:`\alpha`.
        rms: the root mean square of the layer's entries.

    Returns:
        :math:`\delta`.
    """
    return (learning_rate / rms) ** 2 / 2


def sgd_norm(
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> ScalarLike:
    r"""The norm of a layer under SGD with decay or with L2.

    .. math:: \|w\| = \sqrt{\frac{\alpha G}{(1-\beta)\sqrt{2\,\delta}}}

    A gradient at :math:`w` is that at unit norm divided by :math:`\|w\|`, and
    contributes :math:`c = \alpha G/((1-\beta)\|w\|)`. For SGD with an L2 penalty,
    :math:`\delta = \alpha\lambda_2/(1-\beta)`, the norm is
    :math:`\bigl(\alpha G^2/(2\lambda_2(1-\beta))\bigr)^{1/4}`.

    Args:
        learning_rate: :math:`\alpha`, outside the buffer.
        decay_rate: :math:`\delta`, small against :math:`1 - \beta`.
        momentum: :math:`\beta \in [0, 1)`.
        gradient_norm: :math:`G`, the root mean square norm of the layer's gradient at
            :math:`\|w\| = 1`.

    Returns:
        :math:`\|w\|`.
    """
    contribution = learning_rate * gradient_norm / (1 - momentum)  # c‖w‖
    return contribution**0.5 / (2 * decay_rate) ** 0.25


def sgd_norm_decay(
    learning_rate: ScalarLike,
    norm: ScalarLike,
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> ScalarLike:
    r"""The decay rate under which a layer of SGD has a norm.

    .. math:: \delta = \frac12\Bigl(\frac{\alpha G}{(1-\beta)\|w\|^2}\Bigr)^2

    The inverse of :func:`sgd_norm`.

    Args:
        learning_rate: :math:`\alpha`, outside the buffer.
        norm: :math:`\|w\|`.
        momentum: :math:`\beta \in [0, 1)`.
        gradient_norm: :math:`G`, the root mean square norm of the layer's gradient at
            :math:`\|w\| = 1`.

    Returns:
        :math:`\delta`.
    """
    contribution = learning_rate * gradient_norm / (1 - momentum)  # c‖w‖
    return (contribution / norm**2) ** 2 / 2
