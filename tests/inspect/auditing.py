"""What the audit is asked about the labelled optimizers, and what it may not know."""

import collections
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests.inspect.behaviours import Behaviour
from tests.inspect.paths import GRADIENT, LOSS, START, quadratic
from wdjax.inspect.auditing import Audit, audit

ALPHA, LAM = 0.05, 0.4

# Of these no answer can be right: the reason is in the row's note.
UNKNOWN = {
    "optax.lbfgs": "a changed θ makes a false curvature pair",
    "optax.contrib.dpsgd": "its gradients are of another shape than its weights",
    "optax.contrib.mechanize": "θ is in its state and in the learned scale",
    "optax.contrib.prodigy": "θ is in the learned scale, and through ε entry by entry",
    "sam(adamw) in opaque mode": "it needs a gradient function",
    "mechanize(adamw)": "as mechanize",
    "chain(adam, decay by the sign)": "what it takes is no fraction of θ",
}
# Of one optimizer alone, without its factory, these look like something else.
ALONE = {
    "chain(add_decayed_weights, lbfgs)": "unknown",
    "optax.contrib.cocob": "unknown",
    "optax.contrib.dowg": "unknown",
    "optax.contrib.schedule_free_adamw": "target",  # and it says that it may decay
    "schedule_free(adamw)": "target",
    "chain(schedule_free_adamw, add_decayed_weights of -δ)": "unknown",
    "chain(adam, proximal decay)": "decoupled",  # of δ/(1 + δ)
}
# Both are true: λθ is in the gradient, which is then scaled by its norm.
BOTH = {"chain(add_decayed_weights, clip_by_global_norm, sgd)": {"trust", "coupled"}}


def anonymous(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same, with nothing to be read in names and closures."""
    update = optax.with_extra_args_support(optimizer).update
    return optax.GradientTransformationExtraArgs(
        optimizer.init,
        lambda a, b, c=None, **d: update(a, b, c, **d),
    )


def extra_args(row: Behaviour) -> Mapping[str, Any]:
    """What its update needs besides; the loss is large, so that momo's cap is met."""
    gradient = jax.tree.map(jnp.asarray, GRADIENT)
    values = {
        "value": LOSS,
        "grad": gradient,
        "value_fn": quadratic,
        "obj_fn": quadratic,
    }
    return {name: values[name] for name in row.extra if name in values}


def alone(row: Behaviour, decay: float = LAM) -> Audit:
    """The audit of one optimizer."""
    optimizer = anonymous(row.make(ALPHA, decay))
    return audit(optimizer, weights(), extra_args=extra_args(row))


def of_factory(row: Behaviour) -> Audit:
    """The audit of its factory."""
    return audit(
        lambda a, b: anonymous(row.make(a, b)),
        weights(),
        learning_rate=ALPHA,
        weight_decay=LAM,
        extra_args=extra_args(row),
    )


def weights() -> dict[str, jax.Array]:
    """The leaves of the labels, in float32."""
    return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in START.items()}


def expected_alone(row: Behaviour) -> set[str]:
    """The kinds that are right for one optimizer."""
    if row.name in UNKNOWN:
        return {"unknown"}
    if row.name in ALONE:
        return {ALONE[row.name]}
    return BOTH.get(row.name, {row.kind})


def expected_of_factory(row: Behaviour) -> set[str]:
    """The kinds that are right for a factory."""
    unknown = row.name in UNKNOWN and row.name != "chain(add_decayed_weights, lbfgs)"
    return {"unknown"} if unknown else BOTH.get(row.name, {row.kind})


def matrix(answers: list[tuple[str, str]]) -> str:
    """A confusion matrix: true kinds down, answers across."""
    counts = collections.Counter(answers)
    kinds = sorted({kind for pair in answers for kind in pair})
    lines = [f"{'true, answered':16}" + "".join(f"{k:>11}" for k in kinds)]
    lines += [
        f"{true:16}" + "".join(f"{counts[true, k] or '':>11}" for k in kinds)
        for true in kinds
    ]
    return "\n".join(lines)


def check_leaves(row: Behaviour, found: Audit) -> None:
    """δ of each leaf, where the label has one."""
    if found.kind not in {"decoupled", "growing"} or row.rate is None:
        return
    rate = row.rate(ALPHA, LAM)
    if row.kind == "proximal":
        rate = rate / (1 + rate)
    for path, multiple in row.decays._asdict().items():
        leaf = found.per_leaf[path]
        if multiple:
            np.testing.assert_allclose(leaf.decay_rate, multiple * rate, rtol=1e-6)
        else:
            assert leaf.kind == "none"
