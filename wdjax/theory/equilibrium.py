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

How the size of a weight depends on that of its gradient, :math:`\sigma_i`, with the
norm of the layer held: :math:`\operatorname{rms}(w_i) \propto \sigma_i^{0}` for AdamW,
:math:`\sigma_i^{1/2}` for Adam with L2 and :math:`\sigma_i^{1}` for SGD.

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


def rms_adamw(learning_rate: ScalarLike, decay_rate: ScalarLike) -> ScalarLike:
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


def rms_adamw_decay(learning_rate: ScalarLike, rms: ScalarLike) -> ScalarLike:
    r"""The decay rate under which AdamW's weights have a size.

    .. math:: \delta = \frac{\alpha^2}{2\operatorname{rms}^2}

    The inverse of :func:`rms_adamw`.

    Args:
        learning_rate: :math:`\alpha`.
        rms: the root mean square of the layer's entries.

    Returns:
        :math:`\delta`.
    """
    return (learning_rate / rms) ** 2 / 2


def norm_sgd(
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


def norm_sgd_decay(
    learning_rate: ScalarLike,
    norm: ScalarLike,
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> ScalarLike:
    r"""The decay rate under which a layer of SGD has a norm.

    .. math:: \delta = \frac12\Bigl(\frac{\alpha G}{(1-\beta)\|w\|^2}\Bigr)^2

    The inverse of :func:`norm_sgd`.

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


def rms_adam_l2(
    learning_rate: ScalarLike, l2: ScalarLike, gradient_rms: ScalarLike
) -> ScalarLike:
    r"""The size of a weight under Adam with an L2 penalty.

    .. math:: \operatorname{rms}(w_i) = \sqrt{\frac{\alpha\,s_i}{2\lambda_2}}

    Adam divides the penalty's gradient :math:`\lambda_2 w_i` by the size of the whole,
    :math:`\sqrt{\hat v_i}`, so that each weight has its own decay rate
    :math:`\delta_i = \alpha\lambda_2/\sqrt{\hat v_i}`: the noisier, the weaker. The
    balance is

    .. math:: 2\,\delta_i\,w_i^2 = \frac{\alpha^2 s_i^2}{\hat v_i},
              \qquad \hat v_i = s_i^2 + \lambda_2^2 w_i^2 .

    The penalty's part of :math:`\hat v_i` is :math:`\delta_i/2` of the whole by this
    very balance, so it is left out with the other terms of that order. Assumes
    :math:`\beta_2` near 1 and :math:`\epsilon` negligible.

    Args:
        learning_rate: :math:`\alpha`.
        l2: :math:`\lambda_2`, with :math:`\alpha\lambda_2/s_i` small against
            :math:`1 - \beta_1`.
        gradient_rms: :math:`s_i`, the root mean square of the weight's gradient without
            the penalty, at the weights that are reached.

    Returns:
        The root mean square of the weight.
    """
    return (learning_rate * gradient_rms / (2 * l2)) ** 0.5


def rms_adam_l2_decay(
    learning_rate: ScalarLike, rms: ScalarLike, gradient_rms: ScalarLike
) -> ScalarLike:
    r"""The penalty under which a weight of Adam has a size.

    .. math:: \lambda_2 = \frac{\alpha\,s_i}{2\operatorname{rms}^2}

    The inverse of :func:`rms_adam_l2`.

    Args:
        learning_rate: :math:`\alpha`.
        rms: the root mean square of the weight.
        gradient_rms: :math:`s_i`, that of its gradient without the penalty.

    Returns:
        :math:`\lambda_2`.
    """
    return learning_rate * gradient_rms / (2 * rms**2)


def norm_adam_l2(
    learning_rate: ScalarLike, l2: ScalarLike, gradient_sum: ScalarLike
) -> ScalarLike:
    r"""The norm of a scale-invariant layer under Adam with an L2 penalty.

    .. math:: \|w\| = \Bigl(\frac{\alpha\,\Sigma}{2\lambda_2}\Bigr)^{1/3},
              \qquad \Sigma = \sum_i \sigma_i

    A gradient at :math:`w` is that at unit norm divided by :math:`\|w\|`, so
    :math:`s_i = \sigma_i/\|w\|` in :func:`rms_adam_l2`; the squares add up to
    :math:`\|w\|^2 = \alpha\Sigma/(2\lambda_2\|w\|)`. Where all :math:`d` entries are
    alike, :math:`\Sigma = \sqrt d\,G`. The cube lies between AdamW's square and SGD's
    fourth power.

    Args:
        learning_rate: :math:`\alpha`.
        l2: :math:`\lambda_2`.
        gradient_sum: :math:`\Sigma`, the sum over the layer's entries of the root mean
            squares :math:`\sigma_i` of the gradient at :math:`\|w\| = 1`.

    Returns:
        :math:`\|w\|`.
    """
    return (learning_rate * gradient_sum / (2 * l2)) ** (1 / 3)


def norm_adam_l2_decay(
    learning_rate: ScalarLike, norm: ScalarLike, gradient_sum: ScalarLike
) -> ScalarLike:
    r"""The penalty under which a scale-invariant layer of Adam has a norm.

    .. math:: \lambda_2 = \frac{\alpha\,\Sigma}{2\|w\|^3}

    The inverse of :func:`norm_adam_l2`.

    Args:
        learning_rate: :math:`\alpha`.
        norm: :math:`\|w\|`.
        gradient_sum: :math:`\Sigma`, as there.

    Returns:
        :math:`\lambda_2`.
    """
    return learning_rate * gradient_sum / (2 * norm**3)


def rotation_adam_l2(
    learning_rate: ScalarLike,
    norm: ScalarLike,
    momentum: ScalarLike,
    size: int,
) -> ScalarLike:
    r"""The angle by which the weights turn in a step of Adam with an L2 penalty.

    .. math:: \frac{\operatorname{rms}\|\alpha m\|}{\|w\|} =
              \frac{\alpha}{\|w\|}\sqrt{d\,\frac{1-\beta}{1+\beta}}

    With the norm of :func:`norm_adam_l2` in it, and all entries alike, it is
    :math:`\sqrt{\frac{1-\beta}{1+\beta}}\,(2\alpha^2\lambda_2 d/G)^{1/3}`: it depends
    on the size of the gradients, as no other rotation here does, and layers with larger
    gradients turn more slowly.

    Args:
        learning_rate: :math:`\alpha`.
        norm: :math:`\|w\|` in equilibrium.
        momentum: :math:`\beta_1 \in [0, 1)`.
        size: :math:`d`, the number of the layer's entries.

    Returns:
        The root mean square of the angle, in radians, while it is small.
    """
    return learning_rate / norm * (size * (1 - momentum) / (1 + momentum)) ** 0.5


def rotation_adam_l2_decay(
    learning_rate: ScalarLike,
    rotation: ScalarLike,
    momentum: ScalarLike,
    gradient_sum: ScalarLike,
    size: int,
) -> ScalarLike:
    r"""The penalty under which a scale-invariant layer of Adam turns by an angle.

    .. math:: \lambda_2 = \frac{\Sigma\,\varphi^3}{2\alpha^2}
              \Bigl(d\,\frac{1-\beta}{1+\beta}\Bigr)^{-3/2}

    The inverse of :func:`rotation_adam_l2` at the norm of :func:`norm_adam_l2`.

    Args:
        learning_rate: :math:`\alpha`.
        rotation: the angle :math:`\varphi`, in radians.
        momentum: :math:`\beta_1 \in [0, 1)`.
        gradient_sum: :math:`\Sigma`, as in :func:`norm_adam_l2`.
        size: :math:`d`, the number of the layer's entries.

    Returns:
        :math:`\lambda_2`.
    """
    steps = size * (1 - momentum) / (1 + momentum)
    norm = learning_rate * steps**0.5 / rotation  # ‖w‖ = αd^½(…)^½/φ
    return norm_adam_l2_decay(learning_rate, norm, gradient_sum)
