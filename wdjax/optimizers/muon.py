"""Muon: orthogonalised momentum; L2 in front of it, or decay behind it."""

from typing import Any

import optax
import optax.contrib

from wdjax import check
from wdjax.decay import OPTAX, Convention, add_l2, decay_rate, decay_weights
from wdjax.decay.carry import keep_dtypes, skip_none
from wdjax.decay.where import Where
from wdjax.types import ScalarLike, ScalarOrSchedule


def muon_l2(
    learning_rate: ScalarOrSchedule,
    l2: ScalarOrSchedule,
    *,
    ns_coeffs: Any = (3.4445, -4.7750, 2.0315),
    ns_steps: int = 5,
    beta: ScalarLike = 0.95,
    eps: ScalarLike = 1e-8,
    nesterov: bool = True,
    adam_b1: ScalarLike = 0.9,
    adam_b2: ScalarLike = 0.999,
    consistent_rms: ScalarLike | None = None,
    where: Where = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Muon on the loss plus an L2 penalty.

    .. math::

        G_t &= \nabla f(\Theta_t) + \lambda_2 \Theta_t \\
        M_t &= \beta M_{t-1} + (1 - \beta)\, G_t \\
        \Theta_{t+1} &= \Theta_t - \alpha_t\, s\, O_t(G_t), \qquad
        O_t = \mathrm{NS}\bigl(\beta M_t / (1 - \beta^{t+1})
              + (1 - \beta)\, G_t / (1 - \beta^t)\bigr)

    for leaves with two axes, :math:`t` from 1, where NS sends all singular values to
    about 1: the penalty can turn a step, not lengthen it. All other leaves go through
    :func:`nadam_l2` (without ``nesterov``, :func:`adam_l2`). That includes stacks of
    matrices, and stacked biases count as matrices: there, put ``with_l2`` or
    ``with_weight_decay`` around ``optax.contrib.muon`` with its
    ``muon_weight_dimension_numbers``.

    Args:
        learning_rate: see the package; of all leaves.
        l2: see the package; of all leaves.
        ns_coeffs: coefficients of the Newton-Schulz polynomial, or the name of a
            preset of Optax's (``"standard"``, ``"dion"``).
        ns_steps: its iterations; a Python number.
        beta: :math:`\beta \in [0, 1)`, decay rate of the momentum.
        eps: added to the norm that NS divides by; also Adam's :math:`\epsilon`.
        nesterov: whether the step looks ahead; without it
            :math:`O_t = \mathrm{NS}(\hat M_t)`.
        adam_b1: :math:`\beta_1 \in [0, 1)` for the other leaves.
        adam_b2: :math:`\beta_2 \in [0, 1)` for the other leaves.
        consistent_rms: :math:`c` of :math:`s = c\sqrt{\max(\text{in}, \text{out})}`;
            ``None`` for :math:`s = \sqrt{\max(1, \text{out}/\text{in})}`.
        where: see the package.

    Returns:
        ``chain(add_l2, muon)``.

    References:
        Jordan et al., *Muon: An Optimizer for Hidden Layers in Neural Networks*,
        2024, as ``optax.contrib.muon`` has it. ``consistent_rms``: Liu et al., *Muon
        is Scalable for LLM Training*, 2025. https://arxiv.org/abs/2502.16982
    """
    return keep_dtypes(
        optax.chain(
            add_l2(l2, where=where),  # G ← ∇f + λ₂Θ
            _muon(  # −αsO(G)
                learning_rate,
                ns_coeffs=ns_coeffs,
                ns_steps=ns_steps,
                beta=beta,
                eps=eps,
                nesterov=nesterov,
                adam_b1=adam_b1,
                adam_b2=adam_b2,
                consistent_rms=consistent_rms,
            ),
        )
    )


def muonw(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule,
    *,
    convention: Convention = OPTAX,
    ns_coeffs: Any = (3.4445, -4.7750, 2.0315),
    ns_steps: int = 5,
    beta: ScalarLike = 0.95,
    eps: ScalarLike = 1e-8,
    nesterov: bool = True,
    adam_b1: ScalarLike = 0.9,
    adam_b2: ScalarLike = 0.999,
    consistent_rms: ScalarLike | None = None,
    where: Where = None,
    peak_learning_rate: ScalarLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Muon with decoupled weight decay, of matrices and all other leaves alike.

    .. math::

        \Theta_{t+1} = (1 - \delta_t)\,\Theta_t - \alpha_t\, s\, O_t(\nabla f(\Theta_t))

    with :math:`O_t` and :math:`s` as in :func:`muon_l2`. ``optax.contrib.muon`` has a
    decay for matrices and another for the rest, both 0 by default; this is one for all
    leaves, and ``where=wdjax.where.matrices`` takes the rest out.

    Args:
        learning_rate: see the package; of all leaves.
        weight_decay: see the package; of all leaves. (PyTorch's Muon has 0.1.)
        convention: see the package.
        ns_coeffs: see :func:`muon_l2`.
        ns_steps: see :func:`muon_l2`.
        beta: see :func:`muon_l2`.
        eps: see :func:`muon_l2`.
        nesterov: see :func:`muon_l2`.
        adam_b1: see :func:`muon_l2`.
        adam_b2: see :func:`muon_l2`.
        consistent_rms: see :func:`muon_l2`.
        where: see the package.
        peak_learning_rate: see the package.

    Returns:
        ``chain(muon, decay_weights)``.

    References:
        See :func:`muon_l2`; Liu et al. 2025 have the decay.
    """
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    return keep_dtypes(
        optax.chain(
            _muon(  # −αsO(∇f)
                learning_rate,
                ns_coeffs=ns_coeffs,
                ns_steps=ns_steps,
                beta=beta,
                eps=eps,
                nesterov=nesterov,
                adam_b1=adam_b1,
                adam_b2=adam_b2,
                consistent_rms=consistent_rms,
            ),
            decay_weights(delta, where=where),  # − δΘ
        )
    )


def _muon(
    learning_rate: ScalarOrSchedule, **hypers: Any
) -> optax.GradientTransformationExtraArgs:
    check.non_negative("learning_rate", learning_rate)
    for name in ("beta", "adam_b1", "adam_b2"):
        check.below_one(name, hypers[name])
    check.number("eps", hypers["eps"])
    if hypers["consistent_rms"] is not None:
        check.number("consistent_rms", hypers["consistent_rms"])
    return skip_none(optax.contrib.muon(learning_rate, **hypers))
