"""The transformations: one pull, two places.

=============  ===========================================================
`coupled`      in front of the optimizer: L2
`decoupled`    behind it: weight decay
`pull`         what both places share
`convention`   what λ means: δ_t = λ·α^a·η_t^b
`where`        which weights, and how strongly
=============  ===========================================================
"""

from wdjax.decay import where
from wdjax.decay.convention import (
    CONSTANT,
    CORRECTED,
    OPTAX,
    PAPER,
    PYTORCH,
    SQUARED,
    Convention,
    decay_rate,
)
from wdjax.decay.coupled import add_l2, l2_penalty, with_l2
from wdjax.decay.decoupled import decay_weights, with_weight_decay

__all__ = [
    "CONSTANT",
    "CORRECTED",
    "OPTAX",
    "PAPER",
    "PYTORCH",
    "SQUARED",
    "Convention",
    "add_l2",
    "decay_rate",
    "decay_weights",
    "l2_penalty",
    "where",
    "with_l2",
    "with_weight_decay",
]
