r"""Examine a run's weight decay before the run.

Prints what the decay will amount to, and findings: errors, warnings and notes, each
with a remedy. Exit code 1 if there is an error; with --strict also if there is a
warning.

Parameters, schedules and optimizers are named module:name, a module of the current
directory first. What is named for parameters is called, and returns them, their shapes
(jax.eval_shape), or something that has them as .params.

Examples:
  wdjax doctor wdjax.testing:small_network --learning-rate 1e-3 --weight-decay 0.1 \
      --steps 50000 --where matrices --strict
  wdjax doctor wdjax.testing:small_network --learning-rate 0.1 --l2 5e-4 --base sgd \
      --momentum 0.9 --steps 10000 --json
"""

import argparse
import json
from typing import Any

from wdjax.decay import where as where_
from wdjax.decay.convention import BY_NAME
from wdjax.inspect.bases import BASES
from wdjax.inspect.commands.targets import made, named
from wdjax.inspect.examination import doctor

CONVENTIONS = {name.lower(): convention for name, convention in BY_NAME.items()}
WHERE = {
    "all": None,
    "matrices": where_.matrices,
    "except_norm_and_bias": where_.except_norm_and_bias,
}
PASSED_ON = (
    "steps",
    "peak_learning_rate",
    "base",
    "momentum",
    "b2",
    "batch_size",
    "examples",
    "ignore",
    "strict",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    rate = "a number, or module:name of a schedule"
    add("params", help="module:name of what makes the parameters")
    add("--learning-rate", required=True, metavar="X", help=rate)
    add("--steps", type=int, required=True, metavar="N", help="steps of the run")
    add("--weight-decay", default="0", metavar="X", help=f"λ: {rate}")
    add("--l2", default="0", metavar="X", help=f"λ₂, of ½‖θ‖² in the loss: {rate}")
    add("--convention", choices=CONVENTIONS, default="optax", help="what λ means")
    add("--peak-learning-rate", type=float, metavar="X", help="of a schedule")
    add("--base", choices=BASES, default="adam", help="the optimizer without its decay")
    add("--momentum", type=float, metavar="X", help="SGD's β, Adam's and Lion's β₁")
    add("--b2", type=float, metavar="X", help="Lion's β₂")
    add("--where", choices=WHERE, default="all", help="which leaves are pulled")
    add("--optimizer", help="module:name of what makes it; it tells the leaves itself")
    add("--batch-size", type=int, metavar="N", help="examples in a step")
    add("--examples", type=int, metavar="N", help="examples in an epoch")
    add("--ignore", nargs="+", default=[], metavar="NAME", help="findings to leave out")
    add("--strict", action="store_true", help="fail on warnings too")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the diagnosis; the exit code is its own."""
    optimizer = arguments.optimizer and made("--optimizer", arguments.optimizer)
    params = made("params", arguments.params)
    diagnosis = doctor(
        getattr(params, "params", params),
        learning_rate=_rate("--learning-rate", arguments.learning_rate),
        weight_decay=_rate("--weight-decay", arguments.weight_decay),
        l2=_rate("--l2", arguments.l2),
        convention=CONVENTIONS[arguments.convention],
        where=WHERE[arguments.where],
        optimizer=optimizer,
        **{name: getattr(arguments, name) for name in PASSED_ON},
    )
    if arguments.json:
        print(json.dumps(diagnosis.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(diagnosis)
    return diagnosis.exit_code


def _rate(name: str, text: str) -> Any:
    """A number, or the schedule that ``module:name`` names."""
    try:
        return float(text)
    except ValueError:
        pass
    schedule = named(name, text)
    if not callable(schedule):
        raise ValueError(f"{name}: {text} is {schedule!r}; it must be a schedule.")
    return schedule
