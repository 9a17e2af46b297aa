r"""How far a step moves the *direction* of scale-invariant weights, and what sets it.

The function depends on :math:`w/\|w\|` alone, and a step of SGD turns it by
:math:`\alpha\|g\|/\|w\| = \alpha G/\|w\|^2`: the learning rate that counts is
:math:`\alpha/\|w\|^2`. Adam's steps do not know the size of the gradient, and theirs is
:math:`\alpha/\|w\|`. Decay acts only through :math:`\|w\|`: it sets the effective
learning rate. In equilibrium (:mod:`~wdjax.theory.equilibrium`) this depends on

* :math:`\alpha\lambda_2` for SGD with L2, :math:`\delta` for SGDW,
* :math:`\alpha^2\lambda_2` for Adam with L2,
* :math:`\delta` for AdamW, which is :math:`\alpha\lambda` in Optax's convention and
  :math:`\lambda` in Loshchilov & Hutter's,

and on nothing else of the pair :math:`(\alpha, \lambda)`. Pairs that share it are those
of the symmetries in :mod:`~wdjax.theory.scale_invariant`, and
:func:`~wdjax.theory.scale_invariant.equivalent_decay` goes from one to another.

References:
    van Laarhoven, *L2 Regularization versus Batch and Weight Normalization*, 2017, and
    Zhang, Wang, Xu & Grosse, *Three Mechanisms of Weight Decay Regularization*, 2019,
    for the effective learning rate. Its values in equilibrium are derived here.
"""

from wdjax.types import ScalarLike


def sgd(learning_rate: ScalarLike, norm: ScalarLike) -> ScalarLike:
    r"""The effective learning rate of SGD.

    .. math:: \alpha_{\mathrm{eff}} = \alpha/\|w\|^2

    Assumes scale-invariant weights: one factor is the gradient's, which is longer where
    :math:`w` is shorter, the other that of the angle.

    Args:
        learning_rate: :math:`\alpha`.
        norm: :math:`\|w\| > 0`, of the layer.

    Returns:
        The learning rate with which weights of unit norm turn alike.
    """
    return learning_rate / norm**2


def adam(learning_rate: ScalarLike, norm: ScalarLike) -> ScalarLike:
    r"""The effective learning rate of Adam and of sign methods.

    .. math:: \alpha_{\mathrm{eff}} = \alpha/\|w\|

    Assumes scale-invariant weights and a negligible :math:`\epsilon`.

    Args:
        learning_rate: :math:`\alpha`.
        norm: :math:`\|w\| > 0`, of the layer.

    Returns:
        The learning rate with which weights of unit norm turn alike.
    """
    return learning_rate / norm


def sgd_equilibrium(
    decay_rate: ScalarLike, momentum: ScalarLike, gradient_norm: ScalarLike
) -> ScalarLike:
    r"""The effective learning rate of SGD with decay or with L2, in equilibrium.

    .. math:: \frac{\alpha}{\|w\|^2} = \frac{(1-\beta)\sqrt{2\,\delta}}{G}

    From :func:`wdjax.theory.equilibrium.norm_sgd`. For an L2 penalty,
    :math:`\delta = \alpha\lambda_2/(1-\beta)`, it is
    :math:`\sqrt{2\alpha\lambda_2(1-\beta)}/G`.

    Args:
        decay_rate: :math:`\delta`, small against :math:`1 - \beta`.
        momentum: :math:`\beta \in [0, 1)`.
        gradient_norm: :math:`G`, the root mean square norm of the layer's gradient at
            :math:`\|w\| = 1`.

    Returns:
        :math:`\alpha/\|w\|^2`.
    """
    return (1 - momentum) * (2 * decay_rate) ** 0.5 / gradient_norm


def adamw_equilibrium(decay_rate: ScalarLike, size: int) -> ScalarLike:
    r"""The effective learning rate of AdamW in equilibrium.

    .. math:: \frac{\alpha}{\|w\|} = \sqrt{\frac{2\,\delta}{d}}

    From :func:`wdjax.theory.equilibrium.rms_adamw`: neither loss nor learning rate
    enters, but in :math:`\delta`.

    Args:
        decay_rate: :math:`\delta`, small against :math:`1 - \beta_1`.
        size: :math:`d`, the number of the layer's entries.

    Returns:
        :math:`\alpha/\|w\|`.
    """
    return (2 * decay_rate / size) ** 0.5


def adam_l2_equilibrium(
    learning_rate: ScalarLike, l2: ScalarLike, gradient_sum: ScalarLike
) -> ScalarLike:
    r"""The effective learning rate of Adam with an L2 penalty, in equilibrium.

    .. math:: \frac{\alpha}{\|w\|} =
              \Bigl(\frac{2\,\alpha^2\lambda_2}{\Sigma}\Bigr)^{1/3}

    From :func:`wdjax.theory.equilibrium.norm_adam_l2`.

    Args:
        learning_rate: :math:`\alpha`.
        l2: :math:`\lambda_2`.
        gradient_sum: :math:`\Sigma`, the sum over the layer's entries of the root mean
            squares of the gradient at :math:`\|w\| = 1`.

    Returns:
        :math:`\alpha/\|w\|`.
    """
    return (2 * learning_rate**2 * l2 / gradient_sum) ** (1 / 3)
