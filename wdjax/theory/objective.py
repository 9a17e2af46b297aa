r"""What each optimizer solves once weight decay is on: where its weights end.

The setting for single weights: loss :math:`\tfrac h2(\theta-\theta^\star)^2`, gradient
noise of standard deviation :math:`\sigma`,

.. math:: g = a + \sigma\xi, \qquad a = h\,(\theta - \theta^\star),

and *slow* training: :math:`\alpha \to 0`, :math:`\varepsilon \to 0`, and
:math:`\beta_2 \to 1` with a memory :math:`1/(1-\beta_2)` that is still short beside the
whole run. Weights then sit where the mean of the update vanishes, and fluctuate by
:math:`O(\sqrt\alpha)` about it. The curvature is diagonal, which Adam, working entry by
entry, needs. Momentum moves none of these points.

* SGD with L2, SGD with decay :math:`\delta = \alpha\lambda`, and Adam with L2:
  :func:`ridge`. For Adam :math:`(a + \lambda\theta)/\sqrt v = 0` has the zero of its
  numerator. With symmetric noise the mean is ridge at *every* step size: behind the
  penalty the gradient is :math:`(h+\lambda)(\theta-\theta_\infty) + \sigma\xi`, and
  Adam is odd, so that the process is its own mirror image about
  :math:`\theta_\infty`.
* AdamW: :func:`adamw`, between :func:`clipped` and ridge with :math:`\lambda\sigma`.
* SGD with cautious decay: :func:`cautious`.

:math:`\lambda` is ``l2`` for a coupled penalty, and ``weight_decay``, with
:math:`\delta_t = \alpha_t\lambda` (Optax's convention), for decoupled decay. What has
no reference is derived here.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdjax.theory import quadratic
from wdjax.types import ScalarLike

Modes = Float[Array, "*modes"]

_BISECTIONS = 100  # halves float64's 53 bits away, from any scale within 2⁴⁷ of θ*


def ridge(h: Modes, theta_star: Modes, l2: ScalarLike) -> Modes:
    r"""Where SGD with L2, SGD with decoupled decay and Adam with L2 end.

    .. math:: \theta_\infty = \frac{h}{h+\lambda}\,\theta^\star

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the bare loss.
        l2: :math:`\lambda \ge 0`; for decoupled decay :math:`\delta/\alpha`.

    Returns:
        One weight per mode.
    """
    return quadratic.spectral_filter(h, l2) * theta_star


@jax.jit  # or every call by itself would compile the loop anew
def adamw(
    h: Modes, theta_star: Modes, weight_decay: ScalarLike, noise: ScalarLike | Modes
) -> Modes:
    r"""Where AdamW ends: a point that no penalty on the loss has for all noises.

    .. math:: \frac{a}{\sqrt{a^2 + \sigma^2}} + \lambda\,\theta = 0, \qquad
              a = h\,(\theta - \theta^\star)

    The second moment of the gradient is :math:`a^2 + \sigma^2`. The left side grows
    with θ, and has its only zero between the origin and :math:`\theta^\star`; it is
    bracketed, not solved as the quartic that it is. Limits: :func:`clipped` for
    :math:`\sigma \to 0`, and :func:`ridge` with :math:`\lambda\sigma` for
    :math:`\sigma \to \infty`. Ridge with :math:`\lambda` itself is met only where
    :math:`\sqrt{a^2+\sigma^2}` is 1.

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the bare loss.
        weight_decay: :math:`\lambda \ge 0`, :math:`\delta_t = \alpha_t\lambda`.
        noise: :math:`\sigma \ge 0`, in the units of the gradient; 0 included.

    Returns:
        One weight per mode.
    """

    def pulled(theta: Modes) -> Modes:
        # sin∘arctan2 is a/√(a² + σ²) that is 0 at a = σ = 0, and does not overflow.
        normalised = jnp.sin(jnp.arctan2(h * (theta - theta_star), noise))
        return normalised + weight_decay * theta

    return _between_origin_and(theta_star, pulled)


def clipped(theta_star: Modes, weight_decay: ScalarLike) -> Modes:
    r"""Where AdamW ends without gradient noise: the minimiser, clipped to a box.

    .. math:: \theta_\infty
              = \min\bigl(\max(\theta^\star, -1/\lambda),\, 1/\lambda\bigr)

    Without noise the normalised gradient is a sign, which beats the decay while
    :math:`|\theta| < 1/\lambda`. A weight inside the box is not pulled at all. Signed
    descent and Lion end here too.

    Args:
        theta_star: minimiser of the bare loss, diagonal curvature.
        weight_decay: :math:`\lambda > 0`, :math:`\delta_t = \alpha_t\lambda`.

    Returns:
        One weight per mode.

    References:
        Xie & Li, *Implicit Bias of AdamW: ℓ∞-Norm Constrained Optimization*, 2024, for
        the box in general.
    """
    return jnp.clip(theta_star, -1 / weight_decay, 1 / weight_decay)


@jax.jit  # or every call by itself would compile the loop anew
def cautious(
    h: Modes, theta_star: Modes, weight_decay: ScalarLike, noise: ScalarLike | Modes
) -> Modes:
    r"""Where SGD with cautious decay ends, under Gaussian gradient noise.

    .. math:: a + \lambda\,\theta\;\Phi\!\Bigl(\frac{\operatorname{sign}(\theta)\,a}
              {\sigma}\Bigr) = 0, \qquad a = h\,(\theta - \theta^\star)

    Decay acts only in steps where the gradient has the sign of the weight,
    :math:`g\theta \ge 0`, so that the step leads to the origin too. For
    :math:`g = a + \sigma\xi` the probability is :math:`\Phi(\operatorname{sign}(\theta)
    a/\sigma)`, and the mean of the update is the left side times :math:`-\alpha`. At
    the end the loss pulls outwards, :math:`a\theta < 0`, so Φ < ½. Hence without noise
    nothing is decayed, :math:`\theta_\infty = \theta^\star`; with much noise it is
    ridge with :math:`\lambda/2`; and in between the noise decides how much decay there
    is. It is biased in this sense: what it solves depends on the batch size.

    Without momentum: behind a buffer the step is :math:`m`, and the noise it has is
    :math:`\sigma/\sqrt{1-\beta^2}` on a mean of :math:`a/(1-\beta)`.

    Args:
        h: curvatures, positive.
        theta_star: minimiser of the bare loss.
        weight_decay: :math:`\lambda \ge 0`, :math:`\delta_t = \alpha_t\lambda` in the
            steps that decay.
        noise: :math:`\sigma \ge 0`, in the units of the gradient; 0 included.

    Returns:
        One weight per mode.

    References:
        Chen et al., *Cautious Weight Decay*, 2025, Algorithm 1, for the rule; the
        fixed point is derived here.
    """
    outwards = jnp.sign(theta_star)  # the sign of every θ between 0 and θ*

    def pulled(theta: Modes) -> Modes:
        a = h * (theta - theta_star)
        z = jnp.where(a == 0, 0.0, outwards * a / noise)
        return a + weight_decay * theta * jax.scipy.stats.norm.cdf(z)

    return _between_origin_and(theta_star, pulled)


def soft_threshold(s: Modes, l2: ScalarLike) -> Modes:
    r"""Singular values of a linear net of two layers under an L2 penalty.

    .. math:: \min_{A, B}\;\tfrac12\|Y - AB\|_F^2
              + \tfrac\lambda2\bigl(\|A\|_F^2 + \|B\|_F^2\bigr)
              \quad\Rightarrow\quad s_i(AB) = (s_i(Y) - \lambda)_+

    The least :math:`\tfrac12(\|A\|_F^2 + \|B\|_F^2)` with :math:`AB = X` is the sum of
    the singular values of :math:`X`, reached by halves that are balanced,
    :math:`A^\top A = BB^\top`. So the problem is
    :math:`\tfrac12\|Y-X\|_F^2 + \lambda\|X\|_*`, which separates over the singular
    values, and :math:`\tfrac12(s-x)^2 + \lambda x` has its least :math:`x \ge 0` there.
    Weight decay in front of *each factor* is thus no shrinkage in proportion, but
    removes small directions altogether. SGD with decay :math:`\delta = \alpha\lambda`
    and Adam with L2 share it.

    AdamW, in full batches and annealed, leaves :math:`AB = Y` unshrunk as long as every
    entry of the factors it finds stays inside the box of :func:`box`: there the
    normalised gradient can balance any decay while the gradient itself vanishes. Such
    factors exist if :math:`\sqrt{s_1(Y)} < 1/\lambda`, as no entry of
    :math:`U\sqrt S` and :math:`\sqrt S V^\top` exceeds :math:`\sqrt{s_1}`.

    Args:
        s: singular values of :math:`Y`, :math:`\ge 0`; no more of them than the net's
            inner width.
        l2: :math:`\lambda \ge 0`, of both factors.

    Returns:
        Singular values of :math:`AB`.

    References:
        Srebro, Rennie & Jaakkola, *Maximum-Margin Matrix Factorization*, 2005, for the
        sum of singular values as a least mean of squares.
    """
    return jnp.maximum(s - l2, 0)


def box(weight_decay: ScalarLike, largest_step: ScalarLike = 1.0) -> ScalarLike:
    r"""The ball to which decoupled decay confines weights whose steps are bounded.

    .. math:: \|r_t\| \le c \quad\Rightarrow\quad
              \limsup_t \|\theta_t\| \le \frac c\lambda

    In any norm: :math:`\|\theta_{t+1}\| \le (1-\delta_t)\|\theta_t\| + \alpha_t c`,
    with :math:`\delta_t = \alpha_t\lambda \le 1`, see :func:`bounded_norm`. The norm
    is the one in which steps have length 1:

    * signed descent and Lion: :math:`\|\theta\|_\infty \le 1/\lambda`;
    * AdamW: the same while gradients change slowly, when
      :math:`|\hat m|/\sqrt{\hat v} \le 1`; for certain only with :math:`c` from
      :func:`largest_adam_step`;
    * Muon: :math:`\|\Theta\|_{\mathrm{op}} \le 1/\lambda` for an exactly orthogonal
      step; :math:`c` is its scale factor, times the greatest singular value that
      Newton-Schulz leaves.

    Args:
        weight_decay: :math:`\lambda > 0`, :math:`\delta_t = \alpha_t\lambda`.
        largest_step: :math:`c > 0`, of the step before the learning rate.

    Returns:
        The radius.
    """
    return largest_step / weight_decay


def bounded_norm(
    start: ScalarLike,
    kept: ScalarLike,
    weight_decay: ScalarLike,
    largest_step: ScalarLike = 1.0,
) -> ScalarLike:
    r"""How large a norm can be at most while the start is being forgotten.

    .. math:: \|\theta_T\| \le p\,\|\theta_0\| + (1-p)\,\frac c\lambda, \qquad
              p = \prod_{t<T} (1-\delta_t)

    By induction over :math:`\|\theta_{t+1}\| - \tfrac c\lambda \le
    (1-\delta_t)(\|\theta_t\| - \tfrac c\lambda)`. Inside the ball of :func:`box` at the
    start is inside for ever.

    Args:
        start: :math:`\|\theta_0\|`.
        kept: :math:`p \in [0, 1]`, the part of the start that decay has left, with
            each :math:`\delta_t \le 1`.
        weight_decay: :math:`\lambda > 0`, :math:`\delta_t = \alpha_t\lambda`.
        largest_step: :math:`c > 0`, of the step before the learning rate.

    Returns:
        The bound.
    """
    return kept * start + (1 - kept) * box(weight_decay, largest_step)


def largest_adam_step(b1: ScalarLike, b2: ScalarLike) -> Float[Array, ""]:
    r"""The most that an entry of Adam's step can be, whatever the gradients.

    .. math:: \frac{|m_t|}{\sqrt{v_t}} \le
              \frac{1-\beta_1}{\sqrt{(1-\beta_2)(1-\beta_1^2/\beta_2)}}

    By Cauchy and Schwarz from :math:`m = (1-\beta_1)\sum_s \beta_1^s g_{t-s}` and
    :math:`v = (1-\beta_2)\sum_s \beta_2^s g_{t-s}^2`, with equality for gradients that
    grow like :math:`(\beta_2/\beta_1)^t`. It is 7.27 at Adam's defaults, and 1 only for
    :math:`\beta_1 = \beta_2`: AdamW leaves the box of radius :math:`1/\lambda` when
    gradients suddenly grow. For the running averages, long after the start, where the
    bias corrections are 1.

    Args:
        b1: :math:`\beta_1 \in [0, 1)`, with :math:`\beta_1^2 < \beta_2`.
        b2: :math:`\beta_2 \in (0, 1)`.

    Returns:
        The bound, at least 1.
    """
    return (1 - b1) / jnp.sqrt((1 - b2) * (1 - b1**2 / b2))


def _between_origin_and(
    theta_star: Modes, increasing: Callable[[Modes], Modes]
) -> Modes:
    """The zero of a function that rises with θ, or the jump that passes through 0."""

    def halve(_: Array, ends: tuple[Modes, Modes]) -> tuple[Modes, Modes]:
        low, high = ends
        middle = (low + high) / 2
        beyond = increasing(middle) > 0
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

    ends = jnp.minimum(theta_star, 0), jnp.maximum(theta_star, 0)
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, ends)
    return (low + high) / 2
