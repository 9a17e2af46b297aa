"""Parameters and a run for the doctor, and what it finds in them."""

import jax
import jax.numpy as jnp

import wdjax


def shape(*axes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(axes, dtype)


MATRICES = {"dense": {"kernel": shape(3, 2)}}
RUN = {"learning_rate": 1e-2, "weight_decay": 0.5, "steps": 1000}  # Σδ_t = 5
NETWORK = {
    "embed": {"embedding": shape(50, 4)},
    "block": {
        "kernel": shape(4, 4),
        "bias": shape(4),
        "norm": {"scale": shape(4)},
        "attention": {"query": {"kernel": shape(4, 2, 2), "bias": shape(2, 2)}},
    },
    "temperature": shape(),
}


def examined(params=MATRICES, **changes):
    return wdjax.doctor(params, **(RUN | changes))


def names(params=MATRICES, **changes):
    return {finding.name for finding in examined(params, **changes).findings}


def leaves_of(name, params=MATRICES, **changes):
    """The leaves of the one finding of a kind; none if it is not there."""
    found = [f for f in examined(params, **changes).findings if f.name == name]
    assert len(found) <= 1
    return found[0].leaves if found else None
