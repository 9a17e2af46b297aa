"""Before a run: what its weight decay will amount to, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import optax
from jaxtyping import PyTree

from wdjax import check
from wdjax.decay import where as where_
from wdjax.decay.convention import OPTAX, Convention, decay_rate
from wdjax.decay.where.leaves import Leaf, leaves_of
from wdjax.inspect import leaf_findings, rate_findings, rates
from wdjax.inspect.bases import BASES, Base, Memory
from wdjax.inspect.diagnosis import Diagnosis
from wdjax.inspect.findings import Finding, found, sifted
from wdjax.inspect.pulls import Pulls, by_optimizer, by_rule, strength, untrained
from wdjax.inspect.run import Run
from wdjax.types import ScalarLike, ScalarOrSchedule


def doctor(
    params: PyTree,
    *,
    learning_rate: ScalarOrSchedule,
    steps: int,
    weight_decay: ScalarOrSchedule = 0.0,
    l2: ScalarOrSchedule = 0.0,
    convention: Convention = OPTAX,
    peak_learning_rate: ScalarLike | None = None,
    base: str = "adam",
    momentum: ScalarLike | None = None,
    b2: ScalarLike | None = None,
    where: where_.Where = None,
    trainable: where_.Where = None,
    optimizer: optax.GradientTransformation | None = None,
    batch_size: int | None = None,
    examples: int | None = None,
    ignore: Sequence[str] = (),
    strict: bool = False,
) -> Diagnosis:
    r"""Examine a run's weight decay before the run; nothing is trained.

    .. math:: \sum_t \delta_t, \qquad \prod_t |1 - \delta_t|, \qquad
              \tau = \frac1{\max_t \delta_t}

    with :math:`\delta_t` the fraction of θ removed in step :math:`t`, by decay
    (:func:`wdjax.decay_rate`), and by L2 in front of SGD to leading order,
    :math:`\alpha_t\lambda_2/(1-\beta)`. In front of an adaptive method L2 removes what
    depends on the gradients, and that is not known here.

    Example:
        ``print(wdjax.doctor(params, learning_rate=1e-3, weight_decay=0.1, steps=500))``

    Args:
        params: the parameters, or their shapes (``jax.eval_shape(init)``).
        learning_rate: :math:`\alpha_t`, a number or a schedule.
        steps: :math:`T \ge 1`, of the run.
        weight_decay: :math:`\lambda` under ``convention``, or its schedule.
        l2: :math:`\lambda_2`, of :math:`\tfrac12\|\theta\|^2` in the loss, or its
            schedule.
        convention: what λ means.
        peak_learning_rate: :math:`\alpha`; see :func:`wdjax.decay_rate`.
        base: the optimizer without its decay: ``adam``, ``lion``, ``sgd``, or
            ``other``, for which no equilibrium is predicted.
        momentum: :math:`\beta` of SGD, :math:`\beta_1` of Adam and Lion; ``None`` for
            the base's default (0, 0.9, 0.9).
        b2: :math:`\beta_2`, which counts for Lion; ``None`` for the default, 0.99.
        where: which leaves are pulled, by L2 and by decay.
        trainable: which leaves are trained; ``None`` for all.
        optimizer: the optimizer itself, which then tells in place of ``where`` which
            leaves its pulls act on, and whether rounding is kept from them. Of a
            ``weight_decay`` that is not of this package the leaves are those whose
            update depends on their weight: they may be too many. Rates are still those
            given here.
        batch_size: examples in a step, for the timescale in epochs.
        examples: examples in an epoch, likewise.
        ignore: names of findings to leave out, :data:`wdjax.inspect.findings.KINDS`.
        strict: whether a warning makes the exit code 1, as an error does.

    Returns:
        Numbers and findings; ``print`` it, or take ``to_dict()`` or ``exit_code``.

    Raises:
        ValueError: a number is senseless, an argument is missing or contradicts
            another, or ``ignore`` names no finding. What is wrong with the run itself
            is a finding.

    References:
        Wang & Aitchison 2024 for the timescale; Kosson et al. 2024 for the equilibrium
        (:mod:`wdjax.theory.stationary`).
    """
    if optimizer is not None and where is not None:
        raise ValueError(
            "optimizer and where are both given, and the optimizer says itself which "
            "leaves it pulls. Drop where."
        )
    steps = _counted(steps)
    epoch = _steps_in_an_epoch(batch_size, examples)
    check.non_negative("l2", l2)
    delta = decay_rate(
        weight_decay, learning_rate, convention, peak_learning_rate=peak_learning_rate
    )
    run = Run(
        *_base(base, momentum, b2),
        rates.over_the_run("learning_rate", learning_rate, steps),
        rates.over_the_run("l2", l2, steps),
        rates.over_the_run("weight_decay", delta, steps),
    )
    still = untrained(trainable, params)
    try:
        pulled = _pulls(run, params, where, optimizer, still)
        findings = list(_of_leaves(run, pulled, leaves_of(params), where))
    except ValueError as error:
        pulled, findings = Pulls({}, {}), [_refused(error)]
    return Diagnosis(
        base=base,
        steps=steps,
        pulled=tuple(pulled.all),
        leaves=len(leaves_of(params)),
        findings=sifted([*findings, *_of_rates(run, pulled)], ignore),
        strict=strict,
        **(_numbers(run, epoch) if run.is_known else {}),
    )


def _base(
    base: str, momentum: ScalarLike | None, b2: ScalarLike | None
) -> tuple[Base, Memory]:
    if base not in BASES:
        raise ValueError(f"base is {base!r}. {check.nearest(str(base), BASES)}")
    chosen = BASES[base]
    memory = Memory(
        chosen.memory.momentum if momentum is None else momentum,
        chosen.memory.b2 if b2 is None else b2,
    )
    check.below_one("momentum", memory.momentum)
    check.below_one("b2", memory.b2)
    return chosen, memory


def _counted(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps is {steps!r}; give the run's steps, an integer ≥ 1.")
    return int(steps)


def _steps_in_an_epoch(batch_size: int | None, examples: int | None) -> float | None:
    if batch_size is None and examples is None:
        return None
    if batch_size is None or examples is None:
        missing = "batch_size" if batch_size is None else "examples"
        raise ValueError(
            f"an epoch has examples / batch_size steps; give {missing} too."
        )
    check.positive("batch_size", batch_size)
    check.positive("examples", examples)
    return examples / batch_size


def _pulls(
    run: Run,
    params: PyTree,
    where: where_.Where,
    optimizer: optax.GradientTransformation | None,
    still: set[str],
) -> Pulls:
    """Which leaves are pulled, those that stand still otherwise among them noted.

    Raises:
        ValueError: the rule, or the optimizer, refuses the parameters.
    """
    if optimizer is None:
        pulled = by_rule(where, params, run.has_l2, run.has_decay)
    else:
        pulled = by_optimizer(optimizer, params)
    frozen = [path for path in pulled.behind if path in still or path in pulled.frozen]
    return pulled._replace(frozen=tuple(frozen))


def _of_leaves(
    run: Run, pulled: Pulls, leaves: list[Leaf], where: where_.Where
) -> Iterator[Finding]:
    yield from leaf_findings.of_dtypes(pulled, leaves, run.decay)
    yield from leaf_findings.of_places(pulled)
    yield from leaf_findings.of_gains(pulled, leaves, where)
    yield from leaf_findings.of_others(pulled, leaves, where)
    yield from leaf_findings.of_misses(pulled, leaves, where)
    yield from leaf_findings.of_strengths(pulled)


def _of_rates(run: Run, pulled: Pulls) -> Iterator[Finding]:
    strongest = max(map(strength, pulled.all.values()), default=1.0)
    yield from rate_findings.of_signs(run)
    yield from rate_findings.of_knowledge(run, bool(pulled.all))
    if run.is_known:
        yield from rate_findings.of_sizes(run, strongest)
        yield from rate_findings.of_budget(run)


def _refused(error: ValueError) -> Finding:
    return found(
        "init-refused",
        f"The optimizer's init would refuse these parameters: {error}",
        "wdjax.where.describe(where, params) shows what a rule does to each leaf.",
    )


def _numbers(run: Run, epoch: float | None) -> dict[str, float | None]:
    tau = run.timescale
    return {
        "budget": rates.budget(run.removed),
        "initial_weight_left": rates.initial_weight_left(run.removed),
        "largest_rate": run.largest,
        "timescale_in_steps": tau,
        "timescale_in_epochs": None if epoch is None else tau / epoch,
        "timescale_over_horizon": tau / len(run.removed),
        "half_life_in_steps": rates.half_life(run.largest),
        "equilibrium_rms": run.equilibrium.rms,
        "equilibrium_rotation": run.equilibrium.rotation,
    }
