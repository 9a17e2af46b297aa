r"""What becomes of the decay when the problem grows: the rules that are proposed.

Each is a power law for the fraction :math:`\delta` that the peak step removes,

.. math:: \delta \propto \alpha^{a}\, b^{q}\, N^{-p_N}\, E^{-p_E}\, P^{-p_P},

in the peak learning rate :math:`\alpha`, the batch size :math:`b`, the number of
training examples :math:`N`, the epochs :math:`E` and the parameters :math:`P`. A run
takes :math:`T = NE/b` steps and sees :math:`NE` examples. That λ is kept is a rule too,
and which depends on what λ means (:mod:`wdjax.decay.convention`): with one shape of the
schedule the conventions differ by their exponent :math:`a` of the peak alone.
"""

from typing import NamedTuple


class Scale(NamedTuple):
    r"""How large a run is.

    Attributes:
        learning_rate: the peak :math:`\alpha > 0`.
        batch_size: :math:`b \ge 1`, examples in a step.
        examples: :math:`N \ge 1`, in the training set.
        epochs: :math:`E > 0`.
        parameters: :math:`P \ge 1`, of the network.
    """

    learning_rate: float | int
    batch_size: float | int
    examples: float | int
    epochs: float | int
    parameters: float | int


class Rule(NamedTuple):
    r"""The exponents of :math:`\delta`, with their signs, in the order of ``Scale``."""

    learning_rate: float | int = 0
    batch_size: float | int = 0
    examples: float | int = 0
    epochs: float | int = 0
    parameters: float | int = 0


KEEP_OPTAX = Rule(learning_rate=1)
r"""λ is kept, :math:`\delta_t = \lambda\alpha_t`; and for the corrected decay
:math:`\lambda\alpha_t^2/\alpha`, whose peak is the same."""

KEEP_PAPER = Rule()
r"""λ is kept, :math:`\delta_t = \lambda\eta_t` or :math:`\delta_t = \lambda`."""

KEEP_SQUARED = Rule(learning_rate=2)
r"""λ is kept, :math:`\delta_t = \lambda\alpha_t^2`."""

NORMALISED = Rule(batch_size=1 / 2, examples=-1 / 2, epochs=-1 / 2)
r""":math:`\delta = \lambda_{\text{norm}}\sqrt{b/(NE)}`: Loshchilov & Hutter, 2019,
appendix, "normalized weight decay"."""

TIMESCALE = Rule(batch_size=1, examples=-1)
r"""The timescale :math:`\tau_{\text{epoch}} = b/(N\delta)` is kept: Wang & Aitchison,
*How to set AdamW's weight decay as you scale model and dataset size*, 2024."""

POWER_LINES = Rule(batch_size=1, examples=-0.473, epochs=-0.473, parameters=-0.527)
r""":math:`b/(D\delta) \propto (D/P)^{-0.527}` with :math:`D` the examples seen: Bergsma
et al., *Power Lines*, 2025, for one epoch of language modelling. More epochs are taken
here for more data, which they do not say."""

CONSTANT_BUDGET = Rule(batch_size=1, examples=-1, epochs=-1)
r"""The budget :math:`\sum_t\delta_t \propto \delta\,NE/b` is kept, and with it what is
left of the initialisation."""


def decay_rate_factor(rule: Rule, old: Scale, new: Scale) -> float:
    r"""What a rule multiplies the decay rate by.

    .. math:: \frac{\delta'}{\delta} = \prod_i \Bigl(\frac{x_i'}{x_i}\Bigr)^{e_i}

    Args:
        rule: the exponents :math:`e_i`.
        old: the run whose decay rate is known, :math:`x_i`.
        new: the run whose decay rate is asked for, :math:`x_i'`.

    Returns:
        The factor, for :math:`\delta` at the peak.
    """
    factor = 1.0
    for exponent, before, after in zip(rule, old, new, strict=True):
        factor *= (after / before) ** exponent
    return factor


def weight_decay_factor(rule: Rule, old: Scale, new: Scale) -> float:
    r"""What a rule multiplies Optax's and PyTorch's λ by.

    .. math:: \frac{\lambda'}{\lambda} = \frac{\alpha}{\alpha'}\,\frac{\delta'}{\delta}

    since :math:`\delta = \lambda\alpha` at the peak.

    Args:
        rule: the exponents.
        old: the run whose λ is known.
        new: the run whose λ is asked for.

    Returns:
        The factor.
    """
    rates = new.learning_rate / old.learning_rate
    return decay_rate_factor(rule, old, new) / rates
