r"""Quadratic problems with a chosen spectrum and chosen gradient noise.

.. math:: R(\theta) = \tfrac12 (\theta - \theta^\star)^\top H (\theta - \theta^\star),
          \qquad \hat g = H\theta - H\theta^\star + \sigma\xi,
          \quad \xi \sim \mathcal N(0, I)

In the code ``H``, ``theta_star`` and ``noise`` are :math:`H`, :math:`\theta^\star` and
:math:`\sigma`. Everything is unbatched; ``vmap`` is the caller's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from wdjax.types import ScalarLike


class Quadratic(NamedTuple):
    """A quadratic risk whose gradient is seen through noise."""

    H: Float[Array, "d d"]
    theta_star: Float[Array, " d"]
    noise: Float[Array, ""]


def quadratic(
    key: Key[Array, ""], spectrum: Float[Array, " d"], noise: ScalarLike
) -> Quadratic:
    r"""Draw a quadratic problem: :math:`H = Q\,\mathrm{diag}(h)\,Q^\top`.

    :math:`Q` is uniform among orthogonal matrices and
    :math:`\theta^\star \sim \mathcal N(0, I)`.

    Args:
        key: draws the basis and the minimiser.
        spectrum: the eigenvalues :math:`h` of the curvature, not negative.
        noise: standard deviation :math:`\sigma` of each entry of a noisy gradient.

    Returns:
        The problem, in the spectrum's dtype.
    """
    basis_key, minimiser_key = jax.random.split(key)
    d, dtype = len(spectrum), spectrum.dtype
    Q = jax.random.orthogonal(basis_key, d, dtype=dtype)
    H = (Q * spectrum[None, :]) @ Q.T
    return Quadratic(
        H=(H + H.T) / 2,  # symmetric to the last bit
        theta_star=jax.random.normal(minimiser_key, (d,), dtype),
        noise=jnp.asarray(noise, dtype),
    )


def risk(problem: Quadratic, theta: Float[Array, " d"]) -> Float[Array, ""]:
    r"""The excess risk of a quadratic problem.

    .. math::

        R(\theta) = \tfrac12 (\theta - \theta^\star)^\top H (\theta - \theta^\star)

    Args:
        problem: gives :math:`H` and :math:`\theta^\star`.
        theta: the parameters :math:`\theta`.

    Returns:
        :math:`R(\theta)`, zero at the minimiser.
    """
    error = theta - problem.theta_star
    return error @ problem.H @ error / 2


def gradient(problem: Quadratic, theta: Float[Array, " d"]) -> Float[Array, " d"]:
    r"""The exact gradient :math:`H\theta - H\theta^\star` of :func:`risk`.

    Args:
        problem: gives :math:`H` and :math:`\theta^\star`.
        theta: the parameters :math:`\theta`.

    Returns:
        :math:`\nabla R(\theta)`.
    """
    return problem.H @ (theta - problem.theta_star)


def noisy_gradient(
    problem: Quadratic, theta: Float[Array, " d"], key: Key[Array, ""]
) -> Float[Array, " d"]:
    r"""An unbiased gradient, :math:`H\theta - H\theta^\star + \sigma\xi`.

    Args:
        problem: gives :math:`H`, :math:`\theta^\star` and :math:`\sigma`.
        theta: the parameters :math:`\theta`.
        key: draws :math:`\xi \sim \mathcal N(0, I)`.

    Returns:
        :math:`\hat g`, with covariance :math:`\sigma^2 I`.
    """
    xi = jax.random.normal(key, theta.shape, theta.dtype)
    return gradient(problem, theta) + problem.noise * xi
