r"""How the best decay moves with the learning rate on a scale-invariant network.

A network is scale-invariant when :math:`f(cw) = f(w)` for every :math:`c > 0`: every
trained parameter feeds a normaliser, and the normaliser's own :math:`\varepsilon` is 0
(or scaled by :math:`c^2`). Then :math:`\nabla f(cw) = \nabla f(w)/c`.

Scale the initial weights to :math:`c\,w_0` and Adam's :math:`\varepsilon` to
:math:`\varepsilon/c`, and ask which :math:`(\alpha, \lambda) \to
(c^p\alpha,\; c^q\lambda)` scales the whole trajectory by :math:`c`, and so leaves every
*function* visited unchanged. One step, with :math:`g` the old gradient:

* SGD sees :math:`g/c`. It moves by :math:`c` times as much when :math:`c^p/c = c`:
  :math:`p = 2`. Momentum is linear and changes nothing.
* Adam's direction :math:`\hat m/(\sqrt{\hat v}+\varepsilon)` is the same for
  :math:`g/c` and :math:`\varepsilon/c`. It moves by :math:`c` times as much when
  :math:`p = 1`.
* An L2 penalty adds :math:`\lambda_2 w` to the gradient, which must scale as the
  gradient does: :math:`c^q \cdot c = c^{-1}`, so :math:`q = -2`.
* A decoupled decay removes the fraction :math:`\delta = \lambda\alpha^a`, which must
  not change: :math:`q = -ap`, with :math:`a = 1` in Optax's convention and
  :math:`a = 0` in Loshchilov & Hutter's.
* A sign method's direction, :math:`\operatorname{sign}` of the gradient or of any
  average of it (Lion, signSGD with momentum), is the same for :math:`g/c`, as Adam's
  is: the same exponents.

Once the initialisation is forgotten, the test error is therefore a function of
:math:`\alpha^{-q/p}\lambda` alone, and the basin of best decays runs along
:math:`\lambda^\star \propto \alpha^{q/p}`. Derived here; the figures it predicts are
Loshchilov & Hutter's (2019) Figures 1 and 2.
"""

from typing import NamedTuple

from wdjax.types import ScalarLike


class Symmetry(NamedTuple):
    r"""A family :math:`(c^p\alpha, c^q\lambda)` of runs that visit the same functions.

    Attributes:
        learning_rate: the exponent :math:`p`.
        decay: the exponent :math:`q`.
    """

    learning_rate: int
    decay: int


SGD_L2 = Symmetry(2, -2)
SGDW_OPTAX = Symmetry(2, -2)
SGDW_PAPER = Symmetry(2, 0)
ADAM_L2 = Symmetry(1, -2)
ADAMW_OPTAX = Symmetry(1, -1)
ADAMW_PAPER = Symmetry(1, 0)
SIGN_L2 = Symmetry(1, -2)
SIGN_OPTAX = Symmetry(1, -1)
SIGN_PAPER = Symmetry(1, 0)


def predicted_slope(symmetry: Symmetry) -> float:
    r"""The predicted slope of the basin of best decays.

    .. math:: \frac{d \log \lambda^\star}{d \log \alpha} = \frac{q}{p}

    Assumes a scale-invariant network and a decay budget that forgets the
    initialisation; with an unforgotten one the slope drifts.

    Args:
        symmetry: the exponents :math:`p` and :math:`q`.

    Returns:
        −1 for SGD with L2 and for SGDW in Optax's convention, 0 in the paper's; −2 for
        Adam and for signs with L2, −1 for AdamW and for signs with decay in Optax's
        convention, 0 in the paper's.
    """
    return symmetry.decay / symmetry.learning_rate


def equivalent_decay(
    symmetry: Symmetry,
    decay: ScalarLike,
    learning_rate: ScalarLike,
    new_learning_rate: ScalarLike,
) -> ScalarLike:
    r"""The decay with which another learning rate visits the same functions.

    .. math:: \lambda' = \lambda\,(\alpha'/\alpha)^{q/p}

    The pairs :math:`(\alpha, \lambda)` and :math:`(\alpha', \lambda')` share their
    effective learning rate in equilibrium
    (:mod:`~wdjax.theory.effective_learning_rate`). From the first step they agree only
    if the initial weights are scaled too, by :math:`c = (\alpha'/\alpha)^{1/p}`.

    Args:
        symmetry: the exponents :math:`p` and :math:`q`.
        decay: :math:`\lambda`, or :math:`\lambda_2`, in the convention of the symmetry.
        learning_rate: :math:`\alpha > 0`.
        new_learning_rate: :math:`\alpha' > 0`.

    Returns:
        :math:`\lambda'`.

    References:
        van Laarhoven, *L2 Regularization versus Batch and Weight Normalization*, 2017,
        for SGD; derived here in this form.
    """
    return decay * (new_learning_rate / learning_rate) ** predicted_slope(symmetry)
