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

Once the initialisation is forgotten, the test error is therefore a function of
:math:`\alpha^{-q/p}\lambda` alone, and the basin of best decays runs along
:math:`\lambda^\star \propto \alpha^{q/p}`. Derived here; the figures it predicts are
Loshchilov & Hutter's (2019) Figures 1 and 2.
"""

from typing import NamedTuple


class Symmetry(NamedTuple):
    r"""A family :math:`(c^p\alpha, c^q\lambda)` of runs that visit the same functions.

    Attributes:
        learning_rate: the exponent :math:`p`.
        decay: the exponent :math:`q`.
    """

    learning_rate: int
    decay: int


SGD_L2 = Symmetry(2, -2)
SGDW_PAPER = Symmetry(2, 0)
ADAM_L2 = Symmetry(1, -2)
ADAMW_OPTAX = Symmetry(1, -1)
ADAMW_PAPER = Symmetry(1, 0)


def predicted_slope(symmetry: Symmetry) -> float:
    r"""The predicted slope of the basin of best decays.

    .. math:: \frac{d \log \lambda^\star}{d \log \alpha} = \frac{q}{p}

    Assumes a scale-invariant network and a decay budget that forgets the
    initialisation; with an unforgotten one the slope drifts.

    Args:
        symmetry: the exponents :math:`p` and :math:`q`.

    Returns:
        −1 for SGD with L2, 0 for SGDW in the paper's convention, −2 for Adam with L2,
        −1 for AdamW in Optax's convention and 0 in the paper's.
    """
    return symmetry.decay / symmetry.learning_rate
