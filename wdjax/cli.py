r"""Instruments for weight decay, on the command line.

Examples:
  wdjax convert 0.1 --from pytorch:AdamW --to paper --learning-rate 1e-3
  wdjax convert --list
  wdjax audit optax:adamw
  wdjax doctor wdjax.testing:small_network --learning-rate 1e-3 --weight-decay 0.1 \
      --steps 5000
  wdjax report results
"""

import argparse
import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import wdjax
from wdjax import check, exit_codes, terminal

COMMANDS = {
    "audit": "wdjax.inspect.commands.audit",
    "convert": "wdjax.inspect.commands.convert",
    "doctor": "wdjax.inspect.commands.doctor",
    "report": "wdjax.report.command",
}
"""Name and module of each subcommand.

A module has a docstring, whose first line is its summary, ``add_arguments(parser)`` and
``run(arguments)``, which returns the exit code. A ``ValueError`` of either becomes a
sentence on stderr and exit code 2.
"""

SHELLS = ("bash", "zsh", "tcsh")
EPILOG = f"""`wdjax COMMAND --help` has more examples.
Completion: eval "$(wdjax --print-completion bash)", or zsh, or tcsh.

{exit_codes.as_text()}"""


class _Parser(argparse.ArgumentParser):
    """Ends with a sentence instead of the usage, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith(".") else "."
        self.exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = check.nearest(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}. {known}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: the arguments; those of the process if None.

    Returns:
        The exit code, see :mod:`wdjax.exit_codes`.
    """
    terminal.tolerate()
    words = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    prog = f"wdjax {words[0]}" if words[0] in COMMANDS else "wdjax"
    try:
        return _run(words)
    except ValueError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return exit_codes.BAD_INPUT
    except BrokenPipeError:  # `wdjax … | head`: whoever read has had enough
        terminal.hang_up()
        return exit_codes.READER_GONE
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return exit_codes.INTERRUPTED


def _run(words: list[str]) -> int:
    parser, commands = _parsers()
    if not words[0].startswith("-") and words[0] not in commands:
        raise ValueError(
            f"There is no command {words[0]!r}. {check.nearest(words[0], commands)}"
        )
    chosen = commands.get(words[0], parser)
    _refuse_options(words, chosen)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is one word too many.")
    code = arguments.run(arguments)
    sys.stdout.flush()  # here, so that a closed pipe is met above
    return code


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and those of the subcommands by name."""
    parser = _Parser("wdjax", description=__doc__, epilog=EPILOG, **_FORMAT)
    parser.add_argument(
        "--version",
        action="version",
        version=wdjax.__version__,
        help="print the version",
    )
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=SHELLS,
        help="print a script for the shell that completes commands and options",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, path in COMMANDS.items():
        module = importlib.import_module(path)
        text = module.__doc__ or ""
        summary = text.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=text, **_FORMAT)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser, dict(commands.choices)


_FORMAT = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
}


class _Completion(argparse.Action):
    """Prints a completion script, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        try:
            import shtab
        except ImportError:
            raise ValueError(
                "--print-completion needs shtab, which is not installed: run "
                '`pip install "wdjax[completion]"`.'
            ) from None
        shell = rest[1]
        print(shtab.complete(parser, shell))
        sys.stdout.flush()
        parser.exit()


def _refuse_options(words: Iterable[str], parser: argparse.ArgumentParser) -> None:
    """Name the nearest option for one that there is not, before any is missed."""
    options = sorted({"--help", *re.findall(r"--[\w-]+", parser.format_usage())})
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and name != "--" and name not in options:
            known = check.nearest(name, options)
            raise ValueError(f"There is no option {name}. {known}")
