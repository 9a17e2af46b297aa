r"""Convert a weight decay from one meaning to another.

Prints the value, and below it how far it holds and why.

Examples:
  wdjax convert 0.1 --from pytorch:AdamW --to paper --learning-rate 1e-3
  wdjax convert 5e-4 --from pytorch:SGD --to constant --learning-rate 0.1 --momentum 0.9
  wdjax convert 0.1 --from optax --to timescale:epochs --learning-rate 1e-3 \
      --batch-size 128 --examples 50000
  wdjax convert 0.1 --from optax --to corrected --learning-rate 1e-3 \
      --schedule cosine --steps 1000
  wdjax convert --list
"""

import argparse
import re
from typing import Any

import optax

from wdjax.inspect import meanings
from wdjax.inspect.conversion import IN_WORDS, convert

SCHEDULES = {
    "cosine": optax.cosine_decay_schedule,
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
}
WHOLE = ("steps", "batch_size", "examples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("value", nargs="?", type=float, help="the weight decay")
    parser.add_argument("--from", dest="source", metavar="MEANING", help="see --list")
    parser.add_argument("--to", dest="target", metavar="MEANING", help="see --list")
    parser.add_argument("--list", action="store_true", help="print the meanings")
    for name, words in IN_WORDS.items():
        kind = int if name in WHOLE else float
        letter = "N" if kind is int else "X"
        parser.add_argument(_option(name), type=kind, metavar=letter, help=words)
    parser.add_argument(
        "--schedule",
        choices=("constant", *SCHEDULES),
        default="constant",
        help="of the learning rate, from its peak to 0 over --steps",
    )
    parser.add_argument(
        "--warm-up", type=int, default=0, metavar="N", help="steps of linear rise"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a conversion, or the meanings."""
    if arguments.list:
        print(meanings.as_text())
        return 0
    if None in (arguments.value, arguments.source, arguments.target):
        raise ValueError(
            "Give a value, --from and --to; --list prints what they may be."
        )
    try:
        converted = convert(
            arguments.value, arguments.source, arguments.target, **_settings(arguments)
        )
    except ValueError as error:
        raise ValueError(_with_options(str(error))) from None
    print(f"{converted:.6g}")
    print(f"{converted.exactness}: {converted.because}")
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = {name: getattr(arguments, name) for name in IN_WORDS}
    scheduled, rise = arguments.schedule != "constant", arguments.warm_up
    if not scheduled and not rise:
        return settings
    peak, steps = settings["learning_rate"], settings["steps"]
    if peak is None or steps is None:
        raise ValueError("A schedule needs --learning-rate, its peak, and --steps.")
    if not 0 <= rise < steps:
        raise ValueError(
            f"--warm-up is {rise}; it must be at least 0 and below --steps."
        )
    make = SCHEDULES.get(arguments.schedule, lambda peak, _: lambda t: peak)
    pieces = [optax.linear_schedule(0.0, peak, rise), make(peak, steps - rise)]
    schedule = optax.join_schedules(pieces, [rise]) if rise else pieces[1]
    return settings | {"learning_rate": schedule, "peak_learning_rate": peak}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _with_options(sentence: str) -> str:
    """The sentence with arguments as they are called on the command line."""
    for name in IN_WORDS:
        # Without an underscore it may be a word; then only where an argument is meant.
        before = r"(?<!\w)" if "_" in name else r"(?:^|(?<=give ))"
        sentence = re.sub(rf"{before}{name}\b(=…)?", _option(name), sentence)
    return sentence
