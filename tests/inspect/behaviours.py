"""The weight decay of every public optimizer of Optax 0.2.8, read in its source.

The rows are labels for a black-box audit, so that none was made by running one. Long,
since it is one table. θ' is θ after the update. The kinds:

- none: the update does not depend on θ, given the gradients and the other arguments.
- decoupled: θ' = (1 − δ)θ + s, and s knows nothing of the decay.
- growing: the same with δ < 0.
- coupled: λθ enters the gradient before a momentum or a preconditioner, or any state
  holds a trace of it.
- trust: the decay, or without decay the step, is multiplied by a number that depends
  on θ: a trust ratio, a norm of θ, a distance to the start, a clipped norm.
- proximal: the step is taken first, then θ' = prox(θ + s).
- gated: entry by entry, where a condition on θ and the step holds.
- target: towards something else than 0: the start, remembered or averaged weights.
- norm: θ' is rescaled or projected to a norm.
- unknown: no finite difference in θ tells it; the note says why.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import optax
from optax import contrib

Kind = Literal[
    "none",
    "decoupled",
    "growing",
    "coupled",
    "trust",
    "proximal",
    "gated",
    "target",
    "norm",
    "unknown",
]
Make = Callable[[Any, Any], optax.GradientTransformation]


class Leaves(NamedTuple):
    """Multiples of δ on the leaves of ``{"kernel": (3, 2), "bias": (2,)}``."""

    kernel: float
    bias: float


ALL = Leaves(kernel=1.0, bias=1.0)
MATRICES = Leaves(kernel=1.0, bias=0.0)


class Step(NamedTuple):
    """A step, counted from 0, and the optimizer's state on both sides of it."""

    t: int
    before: Any
    after: Any


@dataclass(frozen=True)
class Behaviour:
    """One optimizer and what its decay truly is.

    Attributes:
      name: the public name; of a composition, how it is written.
      make: (learning rate, weight decay) to the optimizer; what it has no argument for
        is ignored.
      kind: with a positive decay; of an optimizer without the argument, as it is.
      source: file below ``optax/`` and function, and what is done there.
      decay_argument: the keyword of the decay, None if there is none.
      default: its default.
      kind_without_decay: with a decay of 0; of fromage, of the rest of the update.
      exponents: (a, b) if what the decay changes in a step is α^a·η_t^b times
        something without either, at learning rate αη_t; the leading order where the
        note says so.
      rate: (α, λ) to δ at a constant learning rate, on a leaf of which decays says 1.
      rate_in_step: (α, λ, step) to δ where it is another in each step.
      decays: multiples of δ by leaf; 0 where a leaf is not decayed.
      every: the decay is in the last of so many updates.
      also_l2: λ may be read as the λ₂ of an L2 penalty: the two are one here.
      takes_schedule: the learning rate may be a schedule.
      extra: keywords that update needs besides params; "per-example gradients" and
        "lookahead params" where those two trees are of another form.
      note: side conditions, and what an audit could take it for.
    """

    name: str
    make: Make
    kind: Kind
    source: str
    decay_argument: str | None = None
    default: float | None = None
    kind_without_decay: Kind = "none"
    exponents: tuple[int, int] | None = None
    rate: Callable[[float, float], float] | None = None
    rate_in_step: Callable[[float, float, Step], Any] | None = None
    decays: Leaves = ALL
    every: int = 1
    also_l2: bool = False
    takes_schedule: bool = True
    extra: tuple[str, ...] = ()
    note: str = ""

    @property
    def decays_by_default(self) -> bool:
        """Whether it decays when it is made without the argument."""
        return bool(self.default)


def alpha_lambda(alpha: float, lam: float) -> float:
    return alpha * lam


def lambda_alone(alpha: float, lam: float) -> float:
    del alpha
    return lam


def fromage_rate(alpha: float, lam: float) -> float:
    del lam
    return 1 - (1 + alpha**2) ** -0.5


def momo_rate(alpha: float, lam: float) -> float:
    return alpha * lam / (1 + alpha * lam)


def learned_rate(alpha: float, lam: float, step: Step) -> Any:
    """λα·d·√(1 − 0.999ᵗ)/(1 − 0.9ᵗ): d is learned, the rest is Adam's debiasing."""
    t = step.t + 1
    return lam * alpha * step.before.estim_lr * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)


def _optimistic_adam(alpha: Any, _: Any) -> optax.GradientTransformation:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return optax.optimistic_adam(alpha)


def _dpsgd(alpha: Any, _: Any) -> optax.GradientTransformation:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return contrib.dpsgd(alpha, l2_norm_clip=1.0, noise_multiplier=0.1, seed=0)


def adversary() -> optax.GradientTransformation:
    """What ``sam`` climbs with."""
    return optax.chain(contrib.normalize(), optax.sgd(0.05))


bare = functools.partial(Behaviour, kind="none")
added = functools.partial(
    Behaviour,
    kind="decoupled",
    decay_argument="weight_decay",
    exponents=(1, 1),
    rate=alpha_lambda,
)
in_front = functools.partial(
    Behaviour, kind="coupled", decay_argument="weight_decay", default=0.0
)
FRONT = (
    "add_decayed_weights is the first link, so that {} takes g + λθ for the gradient"
)
ADDED = "add_decayed_weights stands between {} and the learning rate"
NO_PARAMS = "the params are deleted by {}, and no other link takes them"

BEHAVIOURS: tuple[Behaviour, ...] = (
    bare(
        name="optax.adabelief",
        make=lambda alpha, _: optax.adabelief(alpha),
        source="_src/alias.py adabelief: " + NO_PARAMS.format("scale_by_belief"),
    ),
    in_front(
        name="optax.adadelta",
        make=lambda alpha, lam: optax.adadelta(alpha, weight_decay=lam),
        exponents=(1, 1),
        source="_src/alias.py adadelta: " + FRONT.format("scale_by_adadelta"),
        note="Both running means hold squares of what λθ is part of.",
    ),
    Behaviour(
        name="optax.adafactor",
        make=lambda alpha, lam: optax.adafactor(alpha, weight_decay_rate=lam),
        kind="decoupled",
        decay_argument="weight_decay_rate",
        kind_without_decay="trust",
        exponents=(0, 0),
        rate=lambda_alone,
        source="_src/alias.py adafactor: the learning rate and the RMS of θ multiply "
        "the step before add_decayed_weights; only the sign comes after it",
        note="The default is None: no decay. The step is α·max(RMS(θ), 1e-3) times a "
        "direction while multiply_by_parameter_scale is on, which it is by default.",
    ),
    bare(
        name="optax.adagrad",
        make=lambda alpha, _: optax.adagrad(alpha),
        source="_src/alias.py adagrad: " + NO_PARAMS.format("scale_by_rss"),
    ),
    bare(
        name="optax.adam",
        make=lambda alpha, _: optax.adam(alpha),
        source="_src/alias.py adam: " + NO_PARAMS.format("scale_by_adam"),
    ),
    bare(
        name="optax.adamax",
        make=lambda alpha, _: optax.adamax(alpha),
        source="_src/alias.py adamax: " + NO_PARAMS.format("scale_by_adamax"),
    ),
    added(
        name="optax.adamaxw",
        make=lambda alpha, lam: optax.adamaxw(alpha, weight_decay=lam),
        default=1e-4,
        source="_src/alias.py adamaxw: " + ADDED.format("scale_by_adamax"),
    ),
    added(
        name="optax.adamw",
        make=lambda alpha, lam: optax.adamw(alpha, weight_decay=lam),
        default=1e-4,
        source="_src/alias.py adamw: " + ADDED.format("scale_by_adam"),
        note="mask=None decays every leaf, biases too.",
    ),
    added(
        name="optax.adan",
        make=lambda alpha, lam: optax.adan(alpha, weight_decay=lam),
        default=0.0,
        source="_src/alias.py adan: " + ADDED.format("scale_by_adan"),
        note="The paper's Adan is proximal; this is not.",
    ),
    bare(
        name="optax.amsgrad",
        make=lambda alpha, _: optax.amsgrad(alpha),
        source="_src/alias.py amsgrad: " + NO_PARAMS.format("scale_by_amsgrad"),
    ),
    Behaviour(
        name="optax.fromage",
        make=lambda alpha, _: optax.fromage(alpha),
        kind="decoupled",
        kind_without_decay="trust",
        exponents=(2, 2),
        rate=fromage_rate,
        source="_src/alias.py fromage: scale_by_trust_ratio, the learning rate times "
        "c = 1/√(1 + α²), then add_decayed_weights(c − 1) behind it",
        note="It always decays, and λ has no say: δ = 1 − c, α²/2 to leading order, to "
        "which the exponents belong. The step is cα‖θ‖g/‖g‖, leaf by leaf.",
    ),
    Behaviour(
        name="optax.lamb",
        make=lambda alpha, lam: optax.lamb(alpha, weight_decay=lam),
        kind="trust",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="trust",
        exponents=(1, 1),
        source="_src/alias.py lamb: add_decayed_weights stands between scale_by_adam "
        "and scale_by_trust_ratio",
        note="α‖θ‖(r + λθ)/‖r + λθ‖, leaf by leaf: the length of a step is α‖θ‖ "
        "whatever λ is.",
    ),
    Behaviour(
        name="optax.lars",
        make=lambda alpha, lam: optax.lars(alpha, weight_decay=lam),
        kind="trust",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="trust",
        source="_src/alias.py lars: add_decayed_weights, scale_by_trust_ratio, the "
        "learning rate, and last the momentum",
        note="Coupled as well: g + λθ is scaled to 0.001‖θ‖, and the momentum (0.9) "
        "holds it, times the learning rates of its time.",
    ),
    Behaviour(
        name="optax.lbfgs",
        make=lambda alpha, _: optax.lbfgs(alpha),
        kind="unknown",
        kind_without_decay="unknown",
        extra=("value", "grad", "value_fn"),
        source="_src/transform.py scale_by_lbfgs: keeps the last θ and g, and makes "
        "a curvature pair of the differences; the line search evaluates value_fn at θ",
        note="No decay. But θ moved with the state held is a false curvature pair, and "
        "the step length is the line search's.",
    ),
    added(
        name="optax.lion",
        make=lambda alpha, lam: optax.lion(alpha, weight_decay=lam),
        default=1e-3,
        source="_src/alias.py lion: " + ADDED.format("scale_by_lion"),
    ),
    bare(
        name="optax.nadam",
        make=lambda alpha, _: optax.nadam(alpha),
        source="_src/alias.py nadam: adam with nesterov=True, by functools.partial",
    ),
    added(
        name="optax.nadamw",
        make=lambda alpha, lam: optax.nadamw(alpha, weight_decay=lam),
        default=1e-4,
        source="_src/alias.py nadamw: adamw with nesterov=True, by functools.partial",
    ),
    bare(
        name="optax.noisy_sgd",
        make=lambda alpha, _: optax.noisy_sgd(alpha, key=0),
        source="_src/alias.py noisy_sgd: " + NO_PARAMS.format("add_noise"),
        note="The noise goes by the key in the state: equal states, equal noise.",
    ),
    Behaviour(
        name="optax.novograd",
        make=lambda alpha, lam: optax.novograd(alpha, weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        default=0.0,
        exponents=(1, 1),
        source="_src/transform.py scale_by_novograd: mu_addition is the normalised "
        "gradient plus λθ, and what update_mu sums up",
        note="Behind the preconditioner but in the momentum: αλ/(1 − b1) in the long "
        "run. The first step is that of decoupled decay.",
    ),
    bare(
        name="optax.optimistic_adam",
        make=_optimistic_adam,
        takes_schedule=False,
        source="_src/alias.py optimistic_adam: both links delete the params",
        note="Deprecated: it warns when it is made.",
    ),
    bare(
        name="optax.optimistic_adam_v2",
        make=lambda alpha, _: optax.optimistic_adam_v2(alpha),
        source="_src/alias.py optimistic_adam_v2: both links delete the params",
    ),
    bare(
        name="optax.optimistic_gradient_descent",
        make=lambda alpha, _: optax.optimistic_gradient_descent(alpha),
        source="_src/alias.py optimistic_gradient_descent: "
        + NO_PARAMS.format("scale_by_optimistic_gradient"),
    ),
    bare(
        name="optax.polyak_sgd",
        make=lambda alpha, _: optax.polyak_sgd(scaling=alpha),
        extra=("value",),
        source="_src/transform.py scale_by_polyak: the step is (value − f_min)/‖u‖², "
        "capped; the params are deleted",
        note="Given the value. A caller's value depends on θ, as the gradient does.",
    ),
    bare(
        name="optax.radam",
        make=lambda alpha, _: optax.radam(alpha),
        source="_src/alias.py radam: " + NO_PARAMS.format("scale_by_radam"),
    ),
    bare(
        name="optax.rmsprop",
        make=lambda alpha, _: optax.rmsprop(alpha),
        source="_src/alias.py rmsprop: " + NO_PARAMS.format("scale_by_rms"),
    ),
    bare(
        name="optax.rprop",
        make=lambda alpha, _: optax.rprop(alpha),
        takes_schedule=False,
        source="_src/alias.py rprop: " + NO_PARAMS.format("scale_by_rprop"),
    ),
    bare(
        name="optax.sgd",
        make=lambda alpha, _: optax.sgd(alpha),
        source="_src/alias.py sgd: the gradient, or its trace, times the learning rate",
    ),
    bare(
        name="optax.sign_sgd",
        make=lambda alpha, _: optax.sign_sgd(alpha),
        source="_src/alias.py sign_sgd: " + NO_PARAMS.format("scale_by_sign"),
    ),
    bare(
        name="optax.signum",
        make=lambda alpha, _: optax.signum(alpha),
        source="_src/alias.py signum: ema and scale_by_sign both delete the params",
    ),
    bare(
        name="optax.sm3",
        make=lambda alpha, _: optax.sm3(alpha),
        takes_schedule=False,
        source="_src/alias.py sm3: " + NO_PARAMS.format("scale_by_sm3"),
    ),
    bare(
        name="optax.yogi",
        make=lambda alpha, _: optax.yogi(alpha),
        source="_src/alias.py yogi: " + NO_PARAMS.format("scale_by_yogi"),
    ),
    added(
        name="optax.contrib.acprop",
        make=lambda alpha, lam: contrib.acprop(alpha, weight_decay=lam),
        default=0.0,
        source="contrib/_acprop.py acprop: " + ADDED.format("scale_by_acprop"),
    ),
    added(
        name="optax.contrib.ademamix",
        make=lambda alpha, lam: contrib.ademamix(alpha, weight_decay=lam),
        default=0.0,
        source="contrib/_ademamix.py ademamix: " + ADDED.format("scale_by_ademamix"),
    ),
    bare(
        name="optax.contrib.adopt",
        make=lambda alpha, _: contrib.adopt(alpha),
        source="contrib/_adopt.py adopt: " + NO_PARAMS.format("scale_by_adopt"),
        note="The first update is 0, and there is no decay argument.",
    ),
    in_front(
        name="optax.contrib.cocob",
        make=lambda alpha, lam: contrib.cocob(alpha, weight_decay=lam),
        kind_without_decay="target",
        source="contrib/_cocob.py cocob: "
        + FRONT.format("the learning rate, and then scale_by_cocob,"),
        note="Without decay as with it, θ' is the start plus a bet: u holds −θ whole. "
        "Only the reward, a sum of −g(θ − θ₀), knows where θ was.",
    ),
    Behaviour(
        name="optax.contrib.dadapt_adamw",
        make=lambda alpha, lam: contrib.dadapt_adamw(alpha, weight_decay=lam),
        kind="decoupled",
        decay_argument="weight_decay",
        default=0.0,
        exponents=None,
        rate_in_step=learned_rate,
        source="contrib/_dadapt_adamw.py update_fn: p_update is −λ·dlr·θ beside the "
        "step, dlr the learned d times αη_t times Adam's debiasing",
        note="d starts at 1e-6, so that δ is 3e-7·αλ at first, and α and η have a say "
        "in what d becomes: exactly λα_t only for a given d.",
    ),
    Behaviour(
        name="optax.contrib.dog",
        make=lambda alpha, lam: contrib.dog(alpha, weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        kind_without_decay="trust",
        exponents=(1, 1),
        source="contrib/_dog.py dog: " + FRONT.format("scale_by_dog"),
        note="The default is None: no decay. The sum of ‖g + λθ‖² holds it, and the "
        "step is times the largest ‖θ − θ₀‖ so far, at first 1e-6(1 + ‖θ₀‖).",
    ),
    Behaviour(
        name="optax.contrib.dowg",
        make=lambda alpha, lam: contrib.dowg(alpha, weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        kind_without_decay="trust",
        exponents=(1, 1),
        source="contrib/_dog.py dowg: " + FRONT.format("scale_by_dowg"),
        note="The default is None: no decay. As dog, with squared distances; the first "
        "step does not depend on θ.",
    ),
    bare(
        name="optax.contrib.dpsgd",
        make=_dpsgd,
        extra=("per-example gradients",),
        source="contrib/_privacy.py dpsgd: "
        + NO_PARAMS.format("differentially_private_aggregate"),
        note="It warns when it is made: it passes on a deprecated seed.",
    ),
    added(
        name="optax.contrib.galore",
        make=lambda alpha, lam: contrib.galore(alpha, weight_decay=lam),
        default=0.0,
        source="contrib/_galore.py galore: "
        + ADDED.format("scale_by_galore, already back at full rank,"),
        note="A base_optimizer is called with params=None: it cannot decay.",
    ),
    in_front(
        name="optax.contrib.madgrad",
        make=lambda alpha, lam: contrib.madgrad(alpha, weight_decay=lam),
        kind_without_decay="target",
        source="contrib/_madgrad.py madgrad: " + FRONT.format("scale_by_madgrad"),
        note="Without decay too, θ' = 0.9θ + 0.1(θ₀ − s/σ): a pull to the start by "
        "1 − momentum in each step, and at the start nothing of it.",
    ),
    Behaviour(
        name="optax.contrib.mechanize",
        make=lambda alpha, lam: contrib.mechanize(optax.sgd(alpha), weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        default=1e-2,
        kind_without_decay="target",
        source="contrib/_mechanic.py update_fn: λ·S·‖g‖/‖θ‖·θ is added to the gradient "
        "of which only h = ⟨g, Δ⟩ is made, after the base optimizer has run",
        note="It never decays: λ only tunes the learned scale S, from the second step "
        "on. Without it too, θ' = θ₀ + S'/S·(θ − θ₀) + S'u.",
    ),
    Behaviour(
        name="optax.contrib.momo",
        make=lambda alpha, lam: contrib.momo(alpha, weight_decay=lam),
        kind="decoupled",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="trust",
        exponents=(1, 1),
        rate=momo_rate,
        extra=("value",),
        source="contrib/_momo.py momo: p_update takes αλ/(1 + αλ) of θ, the "
        "shrinkage of a proximal step, and does not divide the step τm by 1 + αλ",
        note="Exact where τ is capped at α, with and without λ: for a large value. "
        "Below, τ depends on ⟨m, θ⟩ and λ. The exponents are the leading order.",
    ),
    Behaviour(
        name="optax.contrib.momo_adam",
        make=lambda alpha, lam: contrib.momo_adam(alpha, weight_decay=lam),
        kind="decoupled",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="trust",
        exponents=(1, 1),
        rate=momo_rate,
        extra=("value",),
        source="contrib/_momo.py momo_adam: as momo, the step preconditioned",
        note="As momo, with the cap α/(1 − b1ᵗ).",
    ),
    added(
        name="optax.contrib.muon",
        make=lambda alpha, lam: contrib.muon(alpha, weight_decay=lam),
        default=0.0,
        decays=MATRICES,
        source="contrib/_muon.py muon: weight_decay is added in the muon group; the "
        "others go to adamw with adam_weight_decay, whose default is 0",
        note="The group is ndim == 2: neither biases nor convolutions nor stacked "
        "matrices are decayed.",
    ),
    Behaviour(
        name="optax.contrib.prodigy",
        make=lambda alpha, lam: contrib.prodigy(alpha, weight_decay=lam),
        kind="decoupled",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="trust",
        rate_in_step=learned_rate,
        source="contrib/_prodigy.py update_fn: p_update is −λ·dlr·θ beside the step; d "
        "is learned from ⟨g, θ₀ − θ⟩",
        note="δ as dadapt_adamw, but here d, and so every later step, depends on θ; in "
        "the step in which d grows through ε as well, entry by entry.",
    ),
    Behaviour(
        name="optax.contrib.sam",
        make=lambda alpha, _: contrib.sam(optax.sgd(alpha), adversary()),
        kind="target",
        kind_without_decay="target",
        source="contrib/_sam.py transparent_update_fn: the last of sync_period updates "
        "is the remembered weights minus θ plus the optimizer's update at those",
        note="No decay. Every second update brings θ back whole to where it was before "
        "the climb.",
    ),
    Behaviour(
        name="optax.contrib.schedule_free",
        make=lambda alpha, _: contrib.schedule_free(optax.sgd(alpha), alpha),
        kind="target",
        kind_without_decay="target",
        source="contrib/_schedule_free.py update_fn: x is recomputed of θ and z, and "
        "the new θ is a mean of x and z",
        note="No decay. The part c_t of θ (1/t at a constant rate) is replaced by z. "
        "Evaluate at schedule_free_eval_params.",
    ),
    Behaviour(
        name="optax.contrib.schedule_free_adamw",
        make=lambda alpha, lam: contrib.schedule_free_adamw(alpha, weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        default=0.0,
        kind_without_decay="target",
        source="contrib/_schedule_free.py schedule_free_adamw: the base optimizer adds "
        "λθ behind the preconditioner; update_fn adds all of it to z",
        note="z takes −αλθ and keeps it: the first step is that of decoupled decay. "
        "Evaluate at schedule_free_eval_params.",
    ),
    Behaviour(
        name="optax.contrib.schedule_free_sgd",
        make=lambda alpha, lam: contrib.schedule_free_sgd(alpha, weight_decay=lam),
        kind="coupled",
        decay_argument="weight_decay",
        kind_without_decay="target",
        source="contrib/_schedule_free.py schedule_free_sgd: "
        + FRONT.format("the base optimizer, sgd,"),
        note="The default is None: no decay. As schedule_free_adamw.",
    ),
    added(
        name="optax.contrib.simplified_ademamix",
        make=lambda alpha, lam: contrib.simplified_ademamix(alpha, weight_decay=lam),
        default=0.0,
        source="contrib/_ademamix.py simplified_ademamix: "
        + ADDED.format("scale_by_simplified_ademamix"),
    ),
    added(
        name="optax.contrib.sophia",
        make=lambda alpha, lam: contrib.sophia(alpha, weight_decay=lam),
        default=1e-4,
        extra=("obj_fn",),
        source="contrib/_sophia.py sophia: " + ADDED.format("scale_by_sophia"),
        note="Given the Hessian, which Hutchinson's estimate takes of obj_fn at θ in "
        "every tenth step, for the steps after it.",
    ),
)
