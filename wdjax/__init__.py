r"""Weight decay and L2 regularisation in JAX and Optax.

One pull towards the origin, in two places:

.. math:: g \to [\,+\lambda_2\theta\,] \to \text{momentum, preconditioner}
          \to [\,\times -\alpha_t\,] \to [\,-\delta_t\theta\,] \to \theta + u

In front of the optimizer it is an L2 penalty, behind it it is weight decay.
"""

import importlib
from typing import TYPE_CHECKING, Any

from wdjax import inspect
from wdjax.decay import (
    CONSTANT,
    CORRECTED,
    OPTAX,
    PAPER,
    PYTORCH,
    SQUARED,
    Convention,
    DecayWarning,
    add_l2,
    bound,
    constrain_norm,
    decay_rate,
    decay_sp,
    decay_weights,
    decay_weights_after,
    decay_weights_proximally,
    gate,
    hold_norm,
    hyperball,
    l2_penalty,
    l2_sp,
    precision,
    pull,
    rate,
    rotate_weights,
    target,
    where,
    with_corrected_weight_decay,
    with_l2,
    with_stable_weight_decay,
    with_weight_decay,
)
from wdjax.inspect import audit, convert, doctor, probe
from wdjax.optimizers import (
    adafactor_l2,
    adafactorw,
    adagrad_l2,
    adagradw,
    adam_l2,
    adam_l2_first_moment,
    adam_l2_second_moment,
    adam_l2_unbuffered,
    adamax_l2,
    adamaxw,
    adams,
    adamw,
    lamb,
    lars,
    lion_l2,
    lionw,
    muon_l2,
    muonw,
    nadam_l2,
    nadamw,
    radam_l2,
    radamw,
    rmsprop_l2,
    rmspropw,
    sgd_l2,
    sgd_l2_velocity,
    sgds,
    sgdw,
    sgdw_velocity,
)

if TYPE_CHECKING:
    from wdjax import catalogue, data, models, plots, stats, sweep, testing, theory

__version__ = "0.1.0"

__all__ = [
    "CONSTANT",
    "CORRECTED",
    "OPTAX",
    "PAPER",
    "PYTORCH",
    "SQUARED",
    "Convention",
    "DecayWarning",
    "adafactor_l2",
    "adafactorw",
    "adagrad_l2",
    "adagradw",
    "adam_l2",
    "adam_l2_first_moment",
    "adam_l2_second_moment",
    "adam_l2_unbuffered",
    "adamax_l2",
    "adamaxw",
    "adams",
    "adamw",
    "add_l2",
    "audit",
    "bound",
    "catalogue",
    "constrain_norm",
    "convert",
    "data",
    "decay_rate",
    "decay_sp",
    "decay_weights",
    "decay_weights_after",
    "decay_weights_proximally",
    "doctor",
    "gate",
    "hold_norm",
    "hyperball",
    "inspect",
    "l2_penalty",
    "l2_sp",
    "lamb",
    "lars",
    "lion_l2",
    "lionw",
    "models",
    "muon_l2",
    "muonw",
    "nadam_l2",
    "nadamw",
    "plots",
    "precision",
    "probe",
    "pull",
    "radam_l2",
    "radamw",
    "rate",
    "rmsprop_l2",
    "rmspropw",
    "rotate_weights",
    "sgd_l2",
    "sgd_l2_velocity",
    "sgds",
    "sgdw",
    "sgdw_velocity",
    "stats",
    "sweep",
    "target",
    "testing",
    "theory",
    "where",
    "with_corrected_weight_decay",
    "with_l2",
    "with_stable_weight_decay",
    "with_weight_decay",
]

_ROOMS = ("catalogue", "data", "models", "plots", "stats", "sweep", "testing", "theory")


def __getattr__(name: str) -> Any:
    """Import a room when it is first named: the core stays light."""
    if name in _ROOMS:
        return importlib.import_module(f"wdjax.{name}")
    raise AttributeError(f"module 'wdjax' has no attribute {name!r}")
