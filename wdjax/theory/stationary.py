r"""Size and rotation of weights in equilibrium, without approximation.

:mod:`~wdjax.theory.equilibrium` has the leading order in :math:`\delta`, with inverses;
these forms also hold where :math:`\delta` is not small beside :math:`1 - \beta`, and
for Lion and other sign methods.

The model, for all functions here. A layer is scale-invariant (see
:mod:`~wdjax.theory.scale_invariant`), and its gradient is noise: orthogonal to the
weights, without a preferred direction beside that, of squared norm
:math:`G^2/\|w\|^2`, and independent from step to step. Rates are constant, and the
start is forgotten, which takes a decay budget :math:`\sum_t \delta_t` of about 3. Then
the weights are a stationary process with

.. math:: w_{t+1} = \rho\,w_t - \alpha\,r_t, \qquad \rho = 1 - \delta,

where :math:`r_t` is uncorrelated with :math:`w_t` but for the steps they share. With
:math:`V` the variance of an entry of :math:`r_t` and :math:`c_k` its correlation with
the one of :math:`k` steps before,

.. math::

    \mathrm{RMS}^2 = \frac{\alpha^2 V S}{\delta(2 - \delta)}, \qquad
    \cos\angle(w_t, w_{t+1}) = 1 - \frac{\delta\,(1 - \delta Q)}{S}, \qquad
    Q = \sum_{k \ge 1} \rho^{k-1} c_k, \quad S = 1 + 2 \rho\,Q .

So under decoupled decay the rotation does not depend on the size of the steps at all.
Exact in this model, up to fluctuations of :math:`\|w\|` that vanish as the layer gets
wide. Derived here; each docstring names the leading order.

``decay_rate`` is :math:`\delta \in (0, 1]`, the fraction of θ removed in a step;
rotations are in radians for a step, a root mean square is over the layer's entries.

References:
    Kosson, Messmer & Jaggi, *Rotational Equilibrium: How Weight Decay Balances Learning
    Across Neural Networks*, 2024, for the leading orders, checked against the code that
    the authors released (``etar_func`` of epfml/REQ), not against numbered equations.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdjax.types import ScalarLike

Scalar = Float[Array, ""]


def rotation_adamw(decay_rate: ScalarLike, b1: ScalarLike) -> Scalar:
    r"""The angle by which a step of AdamW turns the weights.

    .. math:: \angle = 2\arctan\sqrt{\frac{\delta\,(1-\beta_1)}{(2-\delta)(1+\beta_1)}}
              \approx \sqrt{2\delta\,\frac{1-\beta_1}{1+\beta_1}},
              \qquad \cos\angle = \frac{\rho + \beta_1}{1 + \rho\beta_1}

    Assumes the module's model, and :math:`\beta_2 \to 1`, :math:`\varepsilon \to 0`.

    Args:
        decay_rate: :math:`\delta \in (0, 1]`; :math:`\alpha\lambda` in Optax's
            convention.
        b1: :math:`\beta_1 \in [0, 1)`; 0 for RMSprop.

    Returns:
        The angle, in radians.
    """
    share = decay_rate * (1 - b1) / ((2 - decay_rate) * (1 + b1))
    return 2 * jnp.arctan(jnp.sqrt(share))


def rms_adamw(
    learning_rate: ScalarLike, decay_rate: ScalarLike, b1: ScalarLike
) -> Scalar:
    r"""The root mean square of weights that AdamW keeps in equilibrium.

    .. math:: \mathrm{RMS} = \alpha \sqrt{\frac{(1-\beta_1)(1+\rho\beta_1)}
              {(1+\beta_1)(1-\rho^2)(1-\rho\beta_1)}}
              \approx \frac{\alpha}{\sqrt{2\delta}} = \sqrt{\frac{\alpha}{2\lambda}}

    (the last in Optax's convention). Gradients do not enter: Adam divides their size
    out. Assumes the module's model, and :math:`\beta_2 \to 1`,
    :math:`\varepsilon \to 0`.

    Args:
        learning_rate: :math:`\alpha`, in units of the weights.
        decay_rate: :math:`\delta \in (0, 1]`.
        b1: :math:`\beta_1 \in [0, 1)`; 0 for RMSprop.

    Returns:
        The root mean square, in units of the weights.
    """
    rho = 1 - decay_rate
    V = (1 - b1) / (1 + b1)
    S = (1 + rho * b1) / (1 - rho * b1)
    return learning_rate * jnp.sqrt(V * S / (decay_rate * (2 - decay_rate)))


def rotation_sgdw(decay_rate: ScalarLike, momentum: ScalarLike) -> Scalar:
    r"""The angle by which a step of SGD with decoupled decay turns the weights.

    .. math:: \cos\angle = \frac{\rho + \beta}{1 + \rho\beta}

    That of :func:`rotation_adamw`: directions are correlated alike. Assumes the
    module's model.

    Args:
        decay_rate: :math:`\delta \in (0, 1]`.
        momentum: :math:`\beta \in [0, 1)`, not Nesterov's.

    Returns:
        The angle, in radians.
    """
    return rotation_adamw(decay_rate, momentum)


def norm_sgdw(
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> Scalar:
    r"""The norm of a layer that SGD with decoupled decay keeps in equilibrium.

    .. math:: \|w\|^4 = \frac{\alpha^2 G^2\,(1+\rho\beta)}
              {(1-\rho^2)(1-\beta^2)(1-\rho\beta)}

    Assumes the module's model.

    Args:
        learning_rate: :math:`\alpha`, outside the momentum buffer.
        decay_rate: :math:`\delta \in (0, 1]`.
        momentum: :math:`\beta \in [0, 1)`, not Nesterov's.
        gradient_norm: :math:`G > 0`, the root mean square norm of the layer's
            gradient at :math:`\|w\| = 1`.

    Returns:
        The norm of the whole layer.
    """
    rho = 1 - decay_rate
    S = (1 + rho * momentum) / (1 - rho * momentum)
    decayed = decay_rate * (2 - decay_rate) * (1 - momentum**2)
    return jnp.sqrt(learning_rate * gradient_norm * jnp.sqrt(S / decayed))


def rotation_sgd_l2(
    learning_rate: ScalarLike, l2: ScalarLike, momentum: ScalarLike
) -> Scalar:
    r"""The angle by which a step of SGD with momentum and L2 turns the weights.

    .. math:: \angle = 2\arcsin\sqrt{\frac{\alpha\lambda_2}{2(1+\beta)}}
              \approx \sqrt{\frac{2\alpha\lambda_2}{1+\beta}},
              \qquad \cos\angle = 1 - \frac{\alpha\lambda_2}{1+\beta}

    The penalty passes through the momentum, so that the weights follow
    :math:`w_{t+1} = (1 + \beta - \alpha\lambda_2)\,w_t - \beta w_{t-1} - \alpha g_t`.
    Assumes the module's model.

    Args:
        learning_rate: :math:`\alpha`, outside the momentum buffer.
        l2: :math:`\lambda_2 > 0`, in front of the buffer.
        momentum: :math:`\beta \in [0, 1)`, not Nesterov's.

    Returns:
        The angle, in radians.
    """
    return 2 * jnp.arcsin(jnp.sqrt(learning_rate * l2 / (2 * (1 + momentum))))


def norm_sgd_l2(
    learning_rate: ScalarLike,
    l2: ScalarLike,
    momentum: ScalarLike,
    gradient_norm: ScalarLike,
) -> Scalar:
    r"""The norm of a layer that SGD with momentum and L2 keeps in equilibrium.

    .. math:: \|w\|^4 = \frac{\alpha\,G^2}
              {\lambda_2 (1-\beta) \bigl(2 - \alpha\lambda_2/(1+\beta)\bigr)}

    Assumes the module's model.

    Args:
        learning_rate: :math:`\alpha`, outside the momentum buffer.
        l2: :math:`\lambda_2 > 0`, in front of the buffer.
        momentum: :math:`\beta \in [0, 1)`, not Nesterov's.
        gradient_norm: :math:`G > 0`, the root mean square norm of the layer's
            gradient at :math:`\|w\| = 1`.

    Returns:
        The norm of the whole layer.
    """
    turned = 2 - learning_rate * l2 / (1 + momentum)
    squared = gradient_norm * jnp.sqrt(learning_rate / (l2 * (1 - momentum) * turned))
    return jnp.sqrt(squared)


def rotation_sign(
    decay_rate: ScalarLike, correlations: Float[Array, " lags"]
) -> Scalar:
    r"""The angle by which a step along signs turns the weights.

    .. math:: \cos\angle = 1 - \frac{\delta\,(1 - \delta Q)}{S}, \qquad
        Q = \sum_{k \ge 1} \rho^{k-1}\,\frac2\pi \arcsin c_k

    For any :math:`r_t = \operatorname{sign}(n_t)` with decoupled decay; assumes the
    module's model, and that :math:`n_t` is Gaussian. Without memory,
    :math:`c_k = 0`, the cosine is :math:`\rho`.

    Args:
        decay_rate: :math:`\delta \in (0, 1]`.
        correlations: :math:`c_1, c_2, \dots` as in :func:`rms_sign`.

    Returns:
        The angle, in radians.
    """
    Q = _correlations_of_signs(decay_rate, correlations)
    return _rotation(decay_rate, Q)


def rms_sign(
    learning_rate: ScalarLike,
    decay_rate: ScalarLike,
    correlations: Float[Array, " lags"],
) -> Scalar:
    r"""The root mean square of weights that steps along signs keep in equilibrium.

    .. math::

        \mathrm{RMS}^2 = \frac{\alpha^2}{1-\rho^2} \left[1 + 2 \sum_{k \ge 1} \rho^k\,
        \frac2\pi \arcsin c_k\right]

    For any :math:`r_t = \operatorname{sign}(n_t)` with decoupled decay: the signs of
    two Gaussians with correlation :math:`c` have the correlation
    :math:`\frac2\pi\arcsin c`. SignSGD has :math:`c_k = 0`; with the momentum
    :math:`n \leftarrow \beta n + g` it has :math:`c_k = \beta^k`, and is Lion with
    :math:`\beta_1 = \beta_2 = \beta`; for Lion itself :func:`rms_lion` has the sum in
    closed form. Assumes the module's model, and that :math:`n_t` is Gaussian.

    Args:
        learning_rate: :math:`\alpha`, in units of the weights.
        decay_rate: :math:`\delta \in (0, 1]`.
        correlations: :math:`c_1, c_2, \dots`, of :math:`n_t` with :math:`n_{t-k}`;
            zero beyond the last.

    Returns:
        The root mean square, in units of the weights.
    """
    Q = _correlations_of_signs(decay_rate, correlations)
    return _rms(learning_rate, decay_rate, Q)


def rotation_lion(decay_rate: ScalarLike, b1: ScalarLike, b2: ScalarLike) -> Scalar:
    r"""The angle by which a step of Lion turns the weights.

    .. math:: \cos\angle = 1 - \frac{\delta\,(1 - \delta Q)}{S}, \qquad
        \angle \approx \sqrt{\pi\delta\left((1-\beta_1)^2
        + \beta_1^2\,\frac{1-\beta_2}{1+\beta_2}\right)}

    with :math:`c_k` as in :func:`rms_lion`. The approximation wants
    :math:`\delta \ll 1 - \beta_2` and has :math:`\arcsin c \approx c`: at Lion's
    defaults it is within 1 % up to :math:`\delta = 10^{-4}`, and 3 % off at
    :math:`10^{-3}`.
    Assumes the module's model, with Gaussian entries of the gradient.

    Args:
        decay_rate: :math:`\delta \in (0, 1]`.
        b1: :math:`\beta_1 \in [0, 1)`, weight of the momentum in the step.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the momentum.

    Returns:
        The angle, in radians.
    """
    return _rotation(decay_rate, _correlations_of_lion(decay_rate, b1, b2))


def rms_lion(
    learning_rate: ScalarLike, decay_rate: ScalarLike, b1: ScalarLike, b2: ScalarLike
) -> Scalar:
    r"""The root mean square of weights that Lion keeps in equilibrium.

    .. math::

        \mathrm{RMS}^2 = \frac{\alpha^2}{1-\rho^2} \left[1 + 2 \sum_{k \ge 1} \rho^k\,
        \frac2\pi \arcsin c_k\right], \qquad
        c_k = \frac{ab + b^2\beta_2/(1-\beta_2^2)}{a^2 + b^2/(1-\beta_2^2)}\;
        \beta_2^{k-1},

    with :math:`a = 1-\beta_1` and :math:`b = \beta_1(1-\beta_2)`: :math:`c_k` is the
    correlation of what Lion takes the sign of, and :math:`\frac2\pi\arcsin c` that of
    the signs of two Gaussians with correlation :math:`c`. Assumes the module's model,
    with Gaussian entries of the gradient.

    Args:
        learning_rate: :math:`\alpha`, in units of the weights.
        decay_rate: :math:`\delta \in (0, 1]`.
        b1: :math:`\beta_1 \in [0, 1)`, weight of the momentum in the step.
        b2: :math:`\beta_2 \in [0, 1)`, decay rate of the momentum.

    Returns:
        The root mean square, in units of the weights.
    """
    Q = _correlations_of_lion(decay_rate, b1, b2)
    return _rms(learning_rate, decay_rate, Q)


def _rotation(decay_rate: ScalarLike, Q: Scalar) -> Scalar:
    """The module's rotation, with steps of variance V = 1."""
    S = 1 + 2 * (1 - decay_rate) * Q
    return 2 * jnp.arcsin(jnp.sqrt(decay_rate * (1 - decay_rate * Q) / S / 2))


def _rms(learning_rate: ScalarLike, decay_rate: ScalarLike, Q: Scalar) -> Scalar:
    """The module's RMS, with steps of variance V = 1."""
    S = 1 + 2 * (1 - decay_rate) * Q
    return learning_rate * jnp.sqrt(S / (decay_rate * (2 - decay_rate)))


def _correlations_of_signs(
    decay_rate: ScalarLike, correlations: Float[Array, " lags"]
) -> Scalar:
    """Q of the signs of Gaussians, summed over the given lags."""
    before = jnp.arange(len(correlations))  # k − 1
    c = 2 / jnp.pi * jnp.arcsin(correlations)
    return jnp.sum((1 - decay_rate) ** before * c)


_ARCSINE = np.cumprod([1.0, *((2 * n - 1) / (2 * n) for n in range(1, 2048))]) / (
    2 * np.arange(2048) + 1
)
"""arcsin x = Σ a_n x^(2n+1); 2048 terms leave less than 1e-17 for x ≤ 0.99."""


def _correlations_of_lion(
    decay_rate: ScalarLike, b1: ScalarLike, b2: ScalarLike
) -> Scalar:
    r"""Q of Lion's signs, summed over the lags in closed form, term by term.

    .. math:: \sum_{k \ge 1} \rho^{k-1} \arcsin(c_1\beta_2^{k-1})
              = \sum_n a_n\,\frac{c_1^{2n+1}}{1 - \rho\,\beta_2^{2n+1}}
    """
    a, b = 1 - b1, b1 * (1 - b2)
    c_1 = (a * b + b**2 * b2 / (1 - b2**2)) / (a**2 + b**2 / (1 - b2**2))
    powers = 2 * jnp.arange(len(_ARCSINE)) + 1
    terms = _ARCSINE * c_1**powers / (1 - (1 - decay_rate) * b2**powers)
    return 2 / jnp.pi * jnp.sum(terms)
