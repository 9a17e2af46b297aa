r"""Measure what an optimizer's weight decay is.

The optimizer is named module:name, a module of the current directory first: a gradient
transformation; or a factory of them, called as (learning_rate, weight_decay), of which
more can be told. With --against, the exit code is 1 if it decays in another way than
the optimizer or the convention of that name (see wdjax convert --list); otherwise it is
1 if the decay makes weights grow.

Examples:
  wdjax audit optax:adamw
  wdjax audit wdjax:adam_l2 --against pytorch:Adam
  wdjax audit optax:lion --params wdjax.testing:small_network --json
"""

import argparse
import json

from wdjax.inspect.auditing import audit
from wdjax.inspect.auditing.against import against
from wdjax.inspect.commands.targets import made, named
from wdjax.inspect.meanings import meaning

OF = "that the factory is called with; {} if not given"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("optimizer", help="module:name of an optimizer, or of a factory of them")
    add("--params", help="module:name of what makes the parameters")
    add(
        "--learning-rate", type=float, default=1e-2, metavar="X", help=OF.format("0.01")
    )
    add("--weight-decay", type=float, default=0.1, metavar="X", help=OF.format("0.1"))
    add("--against", metavar="NAME", help="such as pytorch:AdamW")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the audit, and the comparison if one is asked for."""
    if arguments.against:
        meaning(arguments.against)  # a name that there is not speaks at once
    params = arguments.params and made("--params", arguments.params)
    found = audit(
        named("optimizer", arguments.optimizer),
        getattr(params, "params", params) or None,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
    )
    comparison = arguments.against and against(found, arguments.against)
    if arguments.json:
        fields = found.to_dict()
        if comparison:
            fields["against"] = comparison._asdict()
        print(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        print(found)
        if comparison:
            print(f"\n{comparison.text}")
    if comparison:
        return 0 if comparison.agrees else 1
    return 1 if found.kind == "growing" else 0
