r"""Gradient and weight norms of scale-invariant layers as the learning rate falls.

**The ratio in equilibrium.** Let :math:`G` be the root mean square norm of the raw
gradient (without the penalty's) at :math:`\|w\| = 1`. On a scale-invariant layer the
gradient is :math:`\|g\| = G/\|w\|`, so the ratio of the two is
:math:`\|g\|/\|w\| = G/\|w\|^2`, and what decay does to it is what it does to
:math:`\|w\|^2`. With :math:`\|w\|` from the balance :math:`2\delta\|w\|^2 = c^2` of
:mod:`~wdjax.theory.equilibrium`:

* SGD contributes :math:`c = \alpha G/((1-\beta)\|w\|)`, hence
  :math:`\|w\|^2 = \alpha G/((1-\beta)\sqrt{2\delta})` and

  .. math:: \frac{\|g\|}{\|w\|} = \frac{(1-\beta)\sqrt{2\,\delta}}{\alpha}
            = \sqrt{\frac{2\,\lambda_2(1-\beta)}{\alpha}}
            \quad\text{if}\quad \delta = \frac{\alpha\lambda_2}{1-\beta}.

  :math:`G` cancels: SGD's steps are long where the gradient is.
* AdamW contributes :math:`c = \alpha\sqrt d` for :math:`d` weights, hence
  :math:`\|w\|^2 = d\,\alpha^2/(2\delta)` and

  .. math:: \frac{\|g\|}{\|w\|} = \frac{2\,\delta\,G}{d\,\alpha^2}
            = \frac{2\lambda\,G}{d\,\alpha}
            \quad\text{if}\quad \delta = \alpha\lambda .

  :math:`G` stays, as Adam's steps do not know it; and the ratio is the square of an
  effective step, where SGD's is its first power.

**The exponents.** With :math:`\delta \propto \alpha^a` the ratio goes as
:math:`\alpha^{a/2-1}` for SGD and as :math:`\alpha^{a-2}` for AdamW. The usual decay,
:math:`a = 1`, gives :math:`-\tfrac12` and :math:`-1`: near the end of training the
ratio rises without bound. The corrected decay
:math:`\delta_t = \lambda\alpha_t^2/\alpha_{\max}`, :math:`a = 2`, gives 0 for both.

**When it holds.** The learning rate must fall slowly beside the norm's own relaxation.
By :mod:`~wdjax.theory.transient`, :math:`y = \|w\|^p` obeys
:math:`\dot y = -p\,\delta\,(y - y^\star)` with :math:`p = 2` for AdamW and 4 for SGD;
if :math:`a = 1`, :math:`y^\star \propto \alpha` for both. While :math:`\alpha` falls
by the fraction :math:`\kappa` per step, :math:`y` lags behind its falling equilibrium
by :func:`lag`. As :math:`\delta \propto \alpha` vanishes with the learning rate, under
a schedule that ends at 0 the norm is left behind in the end, and the ratio rises no
more. With :math:`a = 2` the equilibrium stays where it is and there is no lag.

References:
    Defazio, *Why Gradients Rapidly Increase Near the End of Training*, 2025, for SGD
    without momentum and for the corrected decay. The factor of momentum, AdamW's ratio
    and the lag are derived here.
"""

from wdjax.types import ScalarLike


def sgd_ratio(
    learning_rate: ScalarLike, decay_rate: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The ratio of gradient to weight norm under SGD, whatever its decay.

    .. math:: \frac{\|g\|}{\|w\|} = \frac{(1-\beta)\sqrt{2\,\delta}}{\alpha}

    Assumes the module's equilibrium.

    Args:
        learning_rate: :math:`\alpha_t > 0`, outside the buffer.
        decay_rate: :math:`\delta_t`, small against :math:`1 - \beta`.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The ratio of root mean squares.
    """
    return (1 - momentum) * (2 * decay_rate) ** 0.5 / learning_rate


def sgd_l2_ratio(
    learning_rate: ScalarLike, l2: ScalarLike, momentum: ScalarLike
) -> ScalarLike:
    r"""The ratio of raw gradient to weight norm under SGD with an L2 penalty.

    .. math:: \frac{\|g\|}{\|w\|} = \sqrt{\frac{2\,\lambda_2(1-\beta)}{\alpha}}

    :func:`sgd_ratio` with :math:`\delta = \alpha\lambda_2/(1-\beta)`. With a corrected
    penalty (:func:`corrected_decay`) it does not depend on :math:`\alpha`.

    Args:
        learning_rate: :math:`\alpha_t > 0`, outside the buffer.
        l2: :math:`\lambda_2`, in front of the buffer.
        momentum: :math:`\beta \in [0, 1)`.

    Returns:
        The ratio of root mean squares.
    """
    return (2 * l2 * (1 - momentum) / learning_rate) ** 0.5


def adamw_ratio(
    learning_rate: ScalarLike,
    weight_decay: ScalarLike,
    gradient_norm: ScalarLike,
    size: int,
) -> ScalarLike:
    r"""The ratio of raw gradient to weight norm under AdamW.

    .. math:: \frac{\|g\|}{\|w\|} = \frac{2\lambda\,G}{d\,\alpha}

    With a corrected decay (:func:`corrected_decay`) it does not depend on
    :math:`\alpha`. Assumes the module's equilibrium, :math:`\beta_2` near 1 and
    :math:`\epsilon` negligible.

    Args:
        learning_rate: :math:`\alpha_t > 0`.
        weight_decay: :math:`\lambda = \delta_t/\alpha_t`, Optax's convention.
        gradient_norm: :math:`G`, the root mean square norm of the layer's gradient at
            :math:`\|w\| = 1`.
        size: :math:`d`, the number of the layer's entries.

    Returns:
        The ratio of root mean squares.
    """
    return 2 * weight_decay * gradient_norm / (size * learning_rate)


def corrected_decay(
    decay: ScalarLike, learning_rate: ScalarLike, peak_learning_rate: ScalarLike
) -> ScalarLike:
    r"""The coefficient of the corrected decay, as one in Optax's convention.

    .. math:: \lambda_t = \lambda\,\frac{\alpha_t}{\alpha_{\max}}, \qquad
              \delta_t = \alpha_t\lambda_t = \lambda\,\frac{\alpha_t^2}{\alpha_{\max}}

    Of :math:`\lambda_2` likewise, in front of the momentum.

    Args:
        decay: :math:`\lambda` or :math:`\lambda_2`, reached at the peak.
        learning_rate: :math:`\alpha_t`.
        peak_learning_rate: :math:`\alpha_{\max}`.

    Returns:
        :math:`\lambda_t`.

    References:
        Defazio, *Why Gradients Rapidly Increase Near the End of Training*, 2025.
    """
    return decay * learning_rate / peak_learning_rate


def sgd_exponent(a: ScalarLike) -> ScalarLike:
    r"""The exponent in α of SGD's ratio, for a decay rate that goes as a power of α.

    .. math:: \delta \propto \alpha^a \;\Rightarrow\;
              \frac{\|g\|}{\|w\|} \propto \alpha^{a/2-1}

    Args:
        a: 1 for L2 and for Optax's convention, 2 for the corrected decay.

    Returns:
        −½ and 0 for these.
    """
    return a / 2 - 1


def adamw_exponent(a: ScalarLike) -> ScalarLike:
    r"""The exponent in α of AdamW's ratio, for a decay rate that goes as a power of α.

    .. math:: \delta \propto \alpha^a \;\Rightarrow\;
              \frac{\|g\|}{\|w\|} \propto \alpha^{a-2}

    Args:
        a: 1 for Optax's convention, 2 for the corrected decay.

    Returns:
        −1 and 0 for these.
    """
    return a - 2


def lag(decay_rate: ScalarLike, fall: ScalarLike, power: int) -> ScalarLike:
    r"""By how much the norm is behind its equilibrium while the learning rate falls.

    .. math:: \frac{\|w\|^p}{\|w^\star\|^p} = \frac{1}{1 - \kappa/(p\,\delta)}

    Exact, in continuous time, where :math:`\kappa/\delta` is constant: then a constant
    multiple of :math:`y^\star \propto \alpha` solves
    :math:`\dot y = -p\,\delta\,(y - y^\star)`. With :math:`\delta \propto \alpha` that
    is the schedule :math:`\alpha_t = \alpha_0/(1 + t/T)`, for which
    :math:`\kappa/\delta = 1/(\delta_0 T)` throughout: the one schedule that anneals for
    ever and stays as near to equilibrium as it was. Under others the first order in
    :math:`\kappa/\delta`. The ratio :math:`\|g\|/\|w\| \propto \|w\|^{-2}` is smaller
    than in equilibrium by the power :math:`2/p` of this.

    Args:
        decay_rate: :math:`\delta_t \propto \alpha_t`.
        fall: :math:`\kappa = -\dot\alpha/\alpha` per step, below :math:`p\,\delta`.
        power: :math:`p`, 2 for AdamW and 4 for SGD.

    Returns:
        The factor, at least 1.
    """
    return 1 / (1 - fall / (power * decay_rate))
