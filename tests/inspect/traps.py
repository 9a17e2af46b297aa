"""Compositions whose weight decay is not what it seems, with their true labels.

Where the decay is written behind the learning rate, λ is δ itself. Long, since it is
one table.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from tests.inspect.behaviours import (
    MATRICES,
    Behaviour,
    Leaves,
    Step,
    adversary,
    alpha_lambda,
    lambda_alone,
)
from tests.inspect.by_hand import (
    cautious,
    decay_after,
    into_the_ball,
    proximal,
    ruled,
    soft_threshold,
    to_the_first_norm,
    towards_an_ema,
    towards_the_start,
)

MASK = {"kernel": True, "bias": False}
NONE_AT_ALL = {"kernel": False, "bias": False}
l2 = optax.add_decayed_weights
chain = optax.chain


def minus_lambda(alpha: float, lam: float) -> float:
    del alpha
    return -lam


def minus_alpha_lambda(alpha: float, lam: float) -> float:
    return -alpha * lam


def both(alpha: float, lam: float) -> float:
    return alpha * lam + lam


def halving(alpha: float, lam: float, step: Step) -> float:
    return alpha * lam * 0.5**step.t


def warming(alpha: float, lam: float, step: Step) -> float:
    return alpha * lam * min(1.0, step.t / 2)


def mechanic(alpha: float, lam: float, step: Step) -> Any:
    return alpha * lam * step.after.s.sum()


def at(learning_rate: Any, t: Any) -> Any:
    """α_t of a number or a schedule."""
    return learning_rate(t) if callable(learning_rate) else learning_rate


def adamw_with(weight_decay: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """AdamW with λ_t = weight_decay(α_t, t)·λ."""

    def make(alpha: Any, lam: Any) -> optax.GradientTransformation:
        return optax.adamw(
            alpha, weight_decay=lambda t: lam * weight_decay(at(alpha, t), t)
        )

    return make


def corrected(alpha: Any, lam: Any) -> optax.GradientTransformation:
    lam_t = lambda t: lam * at(alpha, t) / at(alpha, 0)  # noqa: E731 - a schedule
    return optax.adamw(alpha, weight_decay=lam_t)


def paper(alpha: Any, lam: Any) -> optax.GradientTransformation:
    delta = lambda t: -lam * at(alpha, t) / at(alpha, 0)  # noqa: E731 - a schedule
    return chain(optax.adam(alpha), l2(delta))


def rate_behind_the_decay(alpha: Any, lam: Any) -> optax.GradientTransformation:
    eta = lambda t: at(alpha, t) / at(alpha, 0)  # noqa: E731 - a schedule
    return chain(
        optax.scale_by_adam(),
        optax.scale_by_schedule(eta),
        l2(lam),
        optax.scale(-at(alpha, 0)),
    )


def multi_steps(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.MultiSteps(inner, 2).gradient_transformation()


def behind_adam(
    make: Callable[[Any], optax.GradientTransformation],
) -> Callable[..., Any]:
    return lambda alpha, lam: chain(optax.adam(alpha), make(lam))


decoupled = functools.partial(
    Behaviour, kind="decoupled", exponents=(1, 1), rate=alpha_lambda
)
behind = functools.partial(
    Behaviour, kind="decoupled", exponents=(0, 0), rate=lambda_alone
)
coupled = functools.partial(Behaviour, kind="coupled", exponents=(1, 1))
BY_HAND = "tests/inspect/by_hand.py"
ADD = "transforms/_adding.py add_decayed_weights: adds λθ where it stands"
MASKED = "transforms/_masking.py masked: a leaf is passed to the inner update if truthy"

SIGNS_AND_ORDER: tuple[Behaviour, ...] = (
    Behaviour(
        name="chain(adam, add_decayed_weights)",
        make=lambda alpha, lam: chain(optax.adam(alpha), l2(lam)),
        kind="growing",
        exponents=(0, 0),
        rate=minus_lambda,
        source=ADD + "; behind the learning rate the sign has been flipped",
    ),
    Behaviour(
        name="adamw of a negative decay",
        make=lambda alpha, lam: optax.adamw(alpha, weight_decay=-lam),
        kind="growing",
        exponents=(1, 1),
        rate=minus_alpha_lambda,
        source="_src/alias.py adamw: nothing refuses a negative λ",
    ),
    Behaviour(
        name="chain(adamw, scale(-1))",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.scale(-1.0)
        ),
        kind="growing",
        exponents=(1, 1),
        rate=minus_alpha_lambda,
        source="_src/transform.py scale: turns the decay with the step",
        note="How one maximises, and lets the weights grow.",
    ),
    behind(
        name="chain(adam, add_decayed_weights of -δ)",
        make=lambda alpha, lam: chain(optax.adam(alpha), l2(-lam)),
        source=ADD,
    ),
    decoupled(
        name="chain(add_decayed_weights, sgd)",
        make=lambda alpha, lam: chain(l2(lam), optax.sgd(alpha)),
        also_l2=True,
        source=ADD + "; plain SGD is linear and has no state",
    ),
    coupled(
        name="chain(add_decayed_weights, sgd with momentum)",
        make=lambda alpha, lam: chain(l2(lam), optax.sgd(alpha, momentum=0.9)),
        source="transforms/_accumulation.py trace: sums what λθ is part of",
        note="The first step is that of decoupled decay.",
    ),
    coupled(
        name="chain(add_decayed_weights, adam)",
        make=lambda alpha, lam: chain(l2(lam), optax.adam(alpha)),
        source=ADD,
    ),
    coupled(
        name="chain(add_decayed_weights, lion)",
        make=lambda alpha, lam: chain(l2(lam), optax.lion(alpha, weight_decay=0.0)),
        source="_src/transform.py scale_by_lion: the sign of a mean of g + λθ",
        note="Its derivative in θ is 0 almost everywhere: only a turned sign shows.",
    ),
    coupled(
        name="chain(add_decayed_weights, sign_sgd)",
        make=lambda alpha, lam: chain(l2(lam), optax.sign_sgd(alpha)),
        source="_src/transform.py scale_by_sign: the sign of g + λθ",
        note="As Lion, and without a state.",
    ),
    coupled(
        name="chain(add_decayed_weights, rmsprop)",
        make=lambda alpha, lam: chain(l2(lam), optax.rmsprop(alpha)),
        source="_src/transform.py scale_by_rms: the mean of the squares of g + λθ",
    ),
    coupled(
        name="chain(add_decayed_weights, adagrad)",
        make=lambda alpha, lam: chain(l2(lam), optax.adagrad(alpha)),
        source="_src/transform.py scale_by_rss: the sum of the squares of g + λθ",
    ),
    Behaviour(
        name="chain(add_decayed_weights, lbfgs)",
        make=lambda alpha, lam: chain(l2(lam), optax.lbfgs(alpha)),
        kind="coupled",
        kind_without_decay="unknown",
        extra=("value", "grad", "value_fn"),
        source="_src/transform.py scale_by_lbfgs: the pairs are of g + λθ",
        note="The value_fn needs the penalty as well, or the line search denies it.",
    ),
    Behaviour(
        name="chain(add_decayed_weights, adamw)",
        make=lambda alpha, lam: chain(l2(lam), optax.adamw(alpha, weight_decay=lam)),
        kind="coupled",
        exponents=(1, 1),
        source=ADD + "; here twice",
        note="L2 and decay both on: coupled, and decoupled by αλ besides.",
    ),
    Behaviour(
        name="chain(adamw, add_decayed_weights of -δ)",
        make=lambda alpha, lam: chain(optax.adamw(alpha, weight_decay=lam), l2(-lam)),
        kind="decoupled",
        rate=both,
        source=ADD + "; here twice",
        note="δ = αλ + λ is no power of α.",
    ),
    coupled(
        name="chain(scale_by_adam, add_decayed_weights, trace, learning rate)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(), l2(lam), optax.trace(0.9), optax.sgd(alpha)
        ),
        source="transforms/_accumulation.py trace: sums what λθ is part of",
        note="The first step is that of decoupled decay.",
    ),
    coupled(
        name="chain(scale_by_adam, add_decayed_weights, ema, learning rate)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(), l2(lam), optax.ema(0.9), optax.sgd(alpha)
        ),
        source="transforms/_accumulation.py ema: a debiased mean of what λθ is part of",
        note="αλ times a low pass of θ. The first step is that of decoupled decay.",
    ),
    coupled(
        name="chain(adamw, trace)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.trace(0.9)
        ),
        exponents=None,
        source="transforms/_accumulation.py trace: sums what −αλθ is part of",
        note="The momentum holds the learning rates of the past as well.",
    ),
    coupled(
        name="chain(adamw, apply_every)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.apply_every(2)
        ),
        exponents=None,
        source="_src/transform.py apply_every: sums the updates, decays and all, and "
        "lets the sum through at every second",
    ),
)

RATES: tuple[Behaviour, ...] = (
    decoupled(
        name="inject_hyperparams(adamw)",
        make=lambda alpha, lam: optax.inject_hyperparams(optax.adamw)(
            alpha, weight_decay=lam
        ),
        source="schedules/_inject.py update_fn: makes adamw of arrays in each step",
    ),
    Behaviour(
        name="adamw of a schedule of λ",
        make=adamw_with(lambda alpha_t, t: 0.5**t),
        kind="decoupled",
        exponents=(1, 1),
        rate_in_step=halving,
        source="transforms/_adding.py update_fn: λ of its own count, times α_t later",
    ),
    Behaviour(
        name="adamw of a λ that warms up from 0",
        make=adamw_with(lambda alpha_t, t: jnp.minimum(1, t / 2)),
        kind="decoupled",
        exponents=(1, 1),
        rate_in_step=warming,
        source="transforms/_adding.py update_fn: λ of its own count",
        note="No decay at all in the first step.",
    ),
    behind(
        name="adamw of λ/α_t",
        make=adamw_with(lambda alpha_t, t: 1 / alpha_t),
        source="transforms/_adding.py update_fn: λ of its own count",
        note="δ = λ; NaN where α_t is 0.",
    ),
    Behaviour(
        name="adamw of λα_t",
        make=adamw_with(lambda alpha_t, t: alpha_t),
        kind="decoupled",
        exponents=(2, 2),
        rate=lambda alpha, lam: alpha**2 * lam,
        source="transforms/_adding.py update_fn: λ of its own count",
    ),
    decoupled(
        name="adamw of λη_t",
        make=corrected,
        exponents=(1, 2),
        source="transforms/_adding.py update_fn: λ of its own count",
        note="AdamC: δ = λα_t²/α.",
    ),
    behind(
        name="chain(adam, add_decayed_weights of -λη_t)",
        make=paper,
        exponents=(0, 1),
        source=ADD,
        note="The convention of Loshchilov and Hutter.",
    ),
    decoupled(
        name="chain(scale_by_adam, η_t, add_decayed_weights, scale(-α))",
        make=rate_behind_the_decay,
        exponents=(1, 0),
        source=ADD + "; the schedule stands in front of it",
        note="δ = αλ, and the schedule does not reach it.",
    ),
    behind(
        name="chain(MultiSteps(adam), add_decayed_weights of -δ)",
        make=lambda alpha, lam: chain(multi_steps(optax.adam(alpha)), l2(-lam)),
        source=ADD,
        note="It decays in every mini-step.",
    ),
    decoupled(
        name="MultiSteps(adamw)",
        make=lambda alpha, lam: multi_steps(optax.adamw(alpha, weight_decay=lam)),
        every=2,
        source="transforms/_accumulation.py MultiSteps: the inner update is multiplied "
        "by 0 but in the last mini-step",
        note="Right: one decay in each step that is taken.",
    ),
    decoupled(
        name="apply_if_finite(adamw)",
        make=lambda alpha, lam: optax.apply_if_finite(
            optax.adamw(alpha, weight_decay=lam), 5
        ),
        source="transforms/_conditionality.py apply_if_finite: 0 if g is not finite",
        note="A step that is refused does not decay.",
    ),
    behind(
        name="chain(apply_if_finite(adam), add_decayed_weights of -δ)",
        make=lambda alpha, lam: chain(
            optax.apply_if_finite(optax.adam(alpha), 5), l2(-lam)
        ),
        source=ADD,
        note="A step that is refused still decays.",
    ),
    decoupled(
        name="chain(adamw, reduce_on_plateau)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), contrib.reduce_on_plateau()
        ),
        extra=("value",),
        source="contrib/_reduce_on_plateau.py update_fn: scales the whole update",
        note="αλ until the first plateau; the scale takes the decay along.",
    ),
)

LEAVES: tuple[Behaviour, ...] = (
    decoupled(
        name="adamw of a mask",
        make=lambda alpha, lam: optax.adamw(alpha, weight_decay=lam, mask=MASK),
        decays=MATRICES,
        source=MASKED,
    ),
    decoupled(
        name="adamw of a callable mask",
        make=lambda alpha, lam: optax.adamw(
            alpha,
            weight_decay=lam,
            mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree),
        ),
        decays=MATRICES,
        source=MASKED + "; a callable is called on the params, then on the updates",
    ),
    decoupled(
        name="adamw of a mask of words",
        make=lambda alpha, lam: optax.adamw(
            alpha, weight_decay=lam, mask={"kernel": "yes", "bias": "no"}
        ),
        source=MASKED + "; any word is",
    ),
    Behaviour(
        name="adamw of a mask that matches nothing",
        make=lambda alpha, lam: optax.adamw(alpha, weight_decay=lam, mask=NONE_AT_ALL),
        kind="none",
        source=MASKED,
    ),
    decoupled(
        name="masked(adamw)",
        make=lambda alpha, lam: optax.masked(
            optax.adamw(alpha, weight_decay=lam), MASK
        ),
        decays=MATRICES,
        source=MASKED,
        note="The update of the other leaf is its gradient as it is: uphill.",
    ),
    decoupled(
        name="partition(adamw of λ, adamw of 2λ)",
        make=lambda alpha, lam: optax.partition(
            {
                "one": optax.adamw(alpha, weight_decay=lam),
                "two": optax.adamw(alpha, weight_decay=2 * lam),
            },
            {"kernel": "one", "bias": "two"},
        ),
        decays=Leaves(kernel=1.0, bias=2.0),
        source="transforms/_combining.py partition: each label its own, masked",
    ),
    decoupled(
        name="multi_transform(adamw, adam)",
        make=lambda alpha, lam: optax.multi_transform(
            {
                "decay": optax.adamw(alpha, weight_decay=lam),
                "leave": optax.adam(alpha),
            },
            {"kernel": "decay", "bias": "leave"},
        ),
        decays=MATRICES,
        source="transforms/_combining.py partition: each label its own, masked",
    ),
    decoupled(
        name="chain(freeze, adamw)",
        make=lambda alpha, lam: chain(
            optax.freeze({"kernel": False, "bias": True}),
            optax.adamw(alpha, weight_decay=lam),
        ),
        source="transforms/_freezing.py freeze: sets gradients to 0, and no more",
        note="The frozen leaf decays.",
    ),
    decoupled(
        name="chain(adamw, freeze)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam),
            optax.freeze({"kernel": False, "bias": True}),
        ),
        decays=MATRICES,
        source="transforms/_freezing.py freeze: sets the update to 0",
    ),
    decoupled(
        name="selective_transform(adamw)",
        make=lambda alpha, lam: optax.selective_transform(
            optax.adamw(alpha, weight_decay=lam),
            freeze_mask={"kernel": False, "bias": True},
        ),
        decays=MATRICES,
        source="transforms/_freezing.py selective_transform: a partition",
    ),
    decoupled(
        name="flatten(adamw)",
        make=lambda alpha, lam: optax.flatten(optax.adamw(alpha, weight_decay=lam)),
        source="transforms/_layouts.py flatten: params are flattened with the updates",
    ),
    Behaviour(
        name="flatten(muon)",
        make=lambda alpha, lam: optax.flatten(contrib.muon(alpha, weight_decay=lam)),
        kind="none",
        source="transforms/_layouts.py flatten: one vector, which is muon's adam group",
        note="No matrix is left, and nothing decays.",
    ),
    decoupled(
        name="muon of two decays",
        make=lambda alpha, lam: contrib.muon(
            alpha, weight_decay=lam, adam_weight_decay=lam
        ),
        source="contrib/_muon.py muon: one argument for each group",
    ),
    decoupled(
        name="split_real_and_imaginary(adamw)",
        make=lambda alpha, lam: contrib.split_real_and_imaginary(
            optax.adamw(alpha, weight_decay=lam)
        ),
        source="contrib/_complex_valued.py: real leaves are passed as they are",
    ),
    Behaviour(
        name="identity",
        make=lambda alpha, lam: optax.identity(),
        kind="none",
        source="_src/base.py identity: the gradient is the update",
    ),
    Behaviour(
        name="set_to_zero",
        make=lambda alpha, lam: optax.set_to_zero(),
        kind="none",
        source="_src/base.py set_to_zero",
    ),
    Behaviour(
        name="chain(adamw, set_to_zero)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.set_to_zero()
        ),
        kind="none",
        source="_src/base.py set_to_zero: the decay as well",
    ),
)

NORMS: tuple[Behaviour, ...] = (
    decoupled(
        name="chain(clip_by_global_norm, adamw)",
        make=lambda alpha, lam: chain(
            optax.clip_by_global_norm(0.1), optax.adamw(alpha, weight_decay=lam)
        ),
        source="transforms/_clipping.py clip_by_global_norm: clips the gradient alone",
    ),
    Behaviour(
        name="chain(adamw, clip_by_global_norm)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.clip_by_global_norm(1e-3)
        ),
        kind="trust",
        source="transforms/_clipping.py clip_by_global_norm: scales the step with its "
        "decay by 1e-3/‖u‖",
        note="Where it clips, as here always.",
    ),
    decoupled(
        name="chain(adamw, clip_by_global_norm that never clips)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), optax.clip_by_global_norm(1e6)
        ),
        source="transforms/_clipping.py clip_by_global_norm: below the norm, nothing",
        note="A black box shows the clip only where it clips.",
    ),
    Behaviour(
        name="chain(add_decayed_weights, clip_by_global_norm, sgd)",
        make=lambda alpha, lam: chain(
            l2(lam), optax.clip_by_global_norm(0.1), optax.sgd(alpha)
        ),
        kind="trust",
        exponents=(1, 1),
        source="transforms/_clipping.py clip_by_global_norm: scales g + λθ by its norm",
        note="L2 in front of SGD is decay no more where the sum is clipped.",
    ),
    Behaviour(
        name="chain(adaptive_grad_clip, sgd)",
        make=lambda alpha, lam: chain(optax.adaptive_grad_clip(1e-3), optax.sgd(alpha)),
        kind="trust",
        kind_without_decay="trust",
        source="transforms/_clipping.py adaptive_grad_clip: to 1e-3 times ‖θ‖",
        note="No decay; a step that follows the norm of θ.",
    ),
    Behaviour(
        name="chain(scale_by_adam, add_decayed_weights, normalize_by_update_norm, lr)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(),
            l2(lam),
            optax.normalize_by_update_norm(),
            optax.sgd(alpha),
        ),
        kind="trust",
        exponents=(1, 1),
        source="_src/transform.py normalize_by_update_norm: divides by ‖r + λθ‖",
    ),
    Behaviour(
        name="chain(scale_by_adam, add_decayed_weights, scale_by_param_block_rms, lr)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(),
            l2(lam),
            optax.scale_by_param_block_rms(),
            optax.sgd(alpha),
        ),
        kind="trust",
        kind_without_decay="trust",
        exponents=(1, 1),
        source="_src/transform.py scale_by_param_block_rms: r + λθ times the RMS of θ",
        note="−αλ·RMS(θ)·θ: a multiple of θ, and not the same one at 2θ.",
    ),
    Behaviour(
        name="chain(scale_by_adam, scale_by_param_block_norm, lr)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(), optax.scale_by_param_block_norm(), optax.sgd(alpha)
        ),
        kind="trust",
        kind_without_decay="trust",
        source="_src/transform.py scale_by_param_block_norm: r times ‖θ‖",
        note="No decay.",
    ),
    Behaviour(
        name="chain(flatten(scale_by_distance_over_gradients), sgd)",
        make=lambda alpha, lam: chain(
            optax.flatten(optax.scale_by_distance_over_gradients()), optax.sgd(alpha)
        ),
        kind="trust",
        kind_without_decay="trust",
        source="_src/transform.py scale_by_distance_over_gradients: g times "
        "the largest ‖θ − θ₀‖",
        note="No decay. Flat, since of matrices it needs rank promotion.",
    ),
    decoupled(
        name="chain(scale_by_adam, scale_by_trust_ratio, add_decayed_weights, lr)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(),
            optax.scale_by_trust_ratio(),
            l2(lam),
            optax.sgd(alpha),
        ),
        kind_without_decay="trust",
        source=ADD + "; the ratio stands in front of it",
    ),
    behind(
        name="adafactor without the scale of the params",
        make=lambda alpha, lam: optax.adafactor(
            alpha, weight_decay_rate=lam, multiply_by_parameter_scale=False
        ),
        source="_src/alias.py adafactor: no other link takes the params' values",
    ),
    Behaviour(
        name="chain(adamw, to the first norm)",
        make=lambda alpha, lam: chain(
            optax.adamw(alpha, weight_decay=lam), to_the_first_norm()
        ),
        kind="norm",
        kind_without_decay="norm",
        source=BY_HAND,
        note="The rescaling takes back what the decay took, but for the direction.",
    ),
    Behaviour(
        name="chain(adam, into a ball)",
        make=lambda alpha, lam: chain(optax.adam(alpha), into_the_ball(1.0)),
        kind="norm",
        kind_without_decay="norm",
        source=BY_HAND,
        note="No decay inside the ball.",
    ),
)

PULLS: tuple[Behaviour, ...] = (
    behind(
        name="chain(adam, decay after the step)",
        make=behind_adam(decay_after),
        source=BY_HAND,
        note="θ' = (1 − δ)(θ − αr): decoupled, but the step is scaled with it.",
    ),
    Behaviour(
        name="chain(adam, proximal decay)",
        make=behind_adam(proximal),
        kind="proximal",
        exponents=(0, 0),
        source=BY_HAND,
        note="(θ − αr)/(1 + δ): at one λ no black box tells it from decoupled decay of "
        "δ/(1 + δ); two λ do.",
    ),
    Behaviour(
        name="chain(adam, soft threshold)",
        make=behind_adam(soft_threshold),
        kind="proximal",
        exponents=(0, 0),
        source=BY_HAND,
        note="Of |θ|: a constant towards 0, and to 0 what is smaller.",
    ),
    Behaviour(
        name="chain(adam, decay by the sign)",
        make=behind_adam(lambda delta: ruled(lambda u, p: u - delta * jnp.sign(p))),
        kind="unknown",
        exponents=(0, 0),
        source=BY_HAND,
        note="The gradient of an L1 penalty: its derivative in θ is 0 almost "
        "everywhere, and what it takes is no fraction of θ.",
    ),
    Behaviour(
        name="chain(adam, cautious decay)",
        make=behind_adam(cautious),
        kind="gated",
        exponents=(0, 0),
        source=BY_HAND,
    ),
    Behaviour(
        name="chain(sgd, keep_params_nonnegative)",
        make=lambda alpha, lam: chain(
            optax.sgd(alpha), optax.keep_params_nonnegative()
        ),
        kind="gated",
        kind_without_decay="gated",
        source="transforms/_constraining.py keep_params_nonnegative: u = −θ where "
        "θ + u < 0",
        note="No decay, but all of θ is taken where the gate is open.",
    ),
    Behaviour(
        name="chain(adam, decay towards the start)",
        make=behind_adam(towards_the_start),
        kind="target",
        exponents=(0, 0),
        source=BY_HAND,
        note="In the first step of a run it is 0.",
    ),
    Behaviour(
        name="chain(adam, decay towards an average)",
        make=behind_adam(towards_an_ema),
        kind="target",
        exponents=(0, 0),
        source=BY_HAND,
    ),
    Behaviour(
        name="chain(scale_by_adam, add_decayed_weights, centralize, lr)",
        make=lambda alpha, lam: chain(
            optax.scale_by_adam(), l2(lam), optax.centralize(), optax.sgd(alpha)
        ),
        kind="target",
        exponents=(1, 1),
        source="_src/transform.py centralize: subtracts each row's mean, of λθ too",
        note="A matrix is drawn to the means of its own rows; a vector to 0.",
    ),
)

WRAPPERS: tuple[Behaviour, ...] = (
    Behaviour(
        name="lookahead(adamw)",
        make=lambda alpha, lam: optax.lookahead(
            optax.adamw(alpha, weight_decay=lam), 2, 0.5
        ),
        kind="target",
        kind_without_decay="target",
        exponents=(1, 1),
        extra=("lookahead params",),
        source="_src/lookahead.py _lookahead_update: every second update the slow "
        "weights go half the way to the fast, and the fast to the slow",
        note="The fast weights decay by αλ between; the slow, which are evaluated, by "
        "half of it.",
    ),
    Behaviour(
        name="sam(adamw)",
        make=lambda alpha, lam: contrib.sam(
            optax.adamw(alpha, weight_decay=lam), adversary()
        ),
        kind="target",
        kind_without_decay="target",
        exponents=(1, 1),
        every=2,
        source="contrib/_sam.py transparent_update_fn: the optimizer's update is taken "
        "at the remembered weights",
        note="−αλ times the remembered weights in every second update, which brings θ "
        "back to them whole; in the others no decay.",
    ),
    decoupled(
        name="sam(adamw) in opaque mode",
        make=lambda alpha, lam: contrib.sam(
            optax.adamw(alpha, weight_decay=lam), adversary(), opaque_mode=True
        ),
        extra=("grad_fn",),
        source="contrib/_sam.py opaque_update_fn: the optimizer is called once, at θ",
        note="Given the gradients of grad_fn.",
    ),
    Behaviour(
        name="schedule_free(adamw)",
        make=lambda alpha, lam: contrib.schedule_free(
            optax.adamw(alpha, b1=0.0, weight_decay=lam), alpha
        ),
        kind="coupled",
        kind_without_decay="target",
        source="contrib/_schedule_free.py update_fn: z takes the decay and keeps it",
    ),
    behind(
        name="chain(schedule_free_adamw, add_decayed_weights of -δ)",
        make=lambda alpha, lam: chain(contrib.schedule_free_adamw(alpha), l2(-lam)),
        kind_without_decay="target",
        source=ADD,
        note="It decays θ, which is neither z nor the weights that are evaluated.",
    ),
    Behaviour(
        name="mechanize(adamw)",
        make=lambda alpha, lam: contrib.mechanize(
            optax.adamw(alpha, weight_decay=lam), weight_decay=0.0
        ),
        kind="decoupled",
        kind_without_decay="target",
        rate_in_step=mechanic,
        source="contrib/_mechanic.py update_fn: the base update, its decay too, times "
        "the sum of the learned scales",
        note="The scales begin at 1e-6, and so does the decay.",
    ),
)

TRAPS: tuple[Behaviour, ...] = (
    *SIGNS_AND_ORDER,
    *RATES,
    *LEAVES,
    *NORMS,
    *PULLS,
    *WRAPPERS,
)
