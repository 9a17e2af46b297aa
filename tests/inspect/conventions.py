"""Settings and conventions that the tests of convert share; nothing from its code."""

import jax.numpy as jnp
import numpy as np

import wdjax

ALPHA, BETA, STEPS, G = 0.02, 0.9, 60, 3.0
BATCH, EXAMPLES, EPOCHS = 32, 960, 5
AT = {
    "learning_rate": ALPHA,
    "steps": STEPS,
    "momentum": BETA,
    "b1": BETA,
    "batch_size": BATCH,
    "examples": EXAMPLES,
    "epochs": EPOCHS,
    "gradient_norm": G,
}
# η_t by hand: ten steps of warm-up from 0, then a cosine to 0.
ETA = np.concatenate(
    [np.arange(10) / 10, 0.5 * (1 + np.cos(np.pi * np.arange(50) / 50))]
)
CONVENTIONS = {
    "optax": (wdjax.OPTAX, ALPHA, 1),
    "pytorch": (wdjax.PYTORCH, ALPHA, 1),
    "paper": (wdjax.PAPER, 1.0, 1),
    "constant": (wdjax.CONSTANT, 1.0, 0),
    "corrected": (wdjax.CORRECTED, ALPHA, 2),
    "squared": (wdjax.SQUARED, ALPHA**2, 2),
}
"""δ_t = λ·factor·η_t^b, as CONVENTIONS say; not taken from wdjax."""


def schedule(t):
    return ALPHA * jnp.asarray(ETA)[t]


SCHEDULED = AT | {"learning_rate": schedule, "peak_learning_rate": ALPHA}


def deltas_of(name, lam, eta):
    """δ_t under a convention, by hand."""
    _, factor, b = CONVENTIONS[name]
    return lam * factor * eta**b


def some(name):
    """A λ of this convention, large enough to matter and small enough for all."""
    return {"squared": 25.0, "constant": 0.02}.get(name, 0.5)
