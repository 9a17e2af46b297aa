r"""A run as the doctor sees it: its rates, step by step, and what follows from them."""

from typing import NamedTuple

import numpy as np

from wdjax.inspect import rates
from wdjax.inspect.bases import UNKNOWN, Base, Equilibrium, Memory
from wdjax.inspect.rates import Steps


class Run(NamedTuple):
    r"""The rates of a run, for multiplier 1.

    Attributes:
        base: the optimizer without its decay.
        memory: the factors of its averages.
        learning_rate: :math:`\alpha_t`.
        l2: :math:`\lambda_2`, step by step.
        decay: :math:`\delta_t` of decoupled decay alone.
    """

    base: Base
    memory: Memory
    learning_rate: Steps
    l2: Steps
    decay: Steps

    @property
    def has_l2(self) -> bool:
        """Whether there is a penalty in some step."""
        return bool(np.any(self.l2 != 0))

    @property
    def has_decay(self) -> bool:
        """Whether there is decoupled decay in some step."""
        return bool(np.any(self.decay != 0))

    @property
    def l2_is_known(self) -> bool:
        """Whether what the penalty removes is known, if there is one."""
        return not self.has_l2 or self.base.removed is not None

    @property
    def is_known(self) -> bool:
        """Whether some of what is removed is known; the decay is, beside any L2."""
        return self.has_decay or self.l2_is_known

    @property
    def removed(self) -> Steps:
        r""":math:`\delta_t` of decay and, as far as it is known, of L2."""
        if not self.has_l2 or self.base.removed is None:
            return self.decay
        return self.decay + self.base.removed(self.learning_rate, self.l2, self.memory)

    @property
    def peak(self) -> int:
        """The step of the largest rate."""
        return int(np.argmax(np.nan_to_num(self.removed, posinf=0.0)))

    @property
    def largest(self) -> float:
        """The largest rate that is finite; 0 if none is positive."""
        delta = float(self.removed[self.peak])
        return delta if 0 < delta < np.inf else 0.0

    @property
    def diverges_from(self) -> float:
        r"""The rate at which the pull by itself makes weights grow without bound.

        :math:`|1 - \delta| > 1` for decay. Behind a penalty the weights of heavy ball
        obey :math:`z^2 - (1 + \beta - \alpha\lambda_2)z + \beta`, which has a root
        outside the unit circle from :math:`\alpha\lambda_2 = 2(1 + \beta)` on.
        """
        beta = 0.0 if self.has_decay else self.memory.momentum
        return 2 * (1 + beta) / (1 - beta)

    @property
    def equilibrium(self) -> Equilibrium:
        """At the rates of the peak, if L2 or decay acts alone and below 1."""
        alpha, l2, delta = (
            float(r[self.peak]) for r in (self.learning_rate, self.l2, self.decay)
        )
        if not 0 < self.largest < 1 or (self.has_l2 and self.has_decay):
            return UNKNOWN
        if self.has_l2:
            return self.base.coupled(alpha, l2, self.memory)
        return self.base.decoupled(alpha, delta, self.memory)

    @property
    def timescale(self) -> float:
        """In steps, at the largest rate."""
        return rates.timescale(self.largest)
