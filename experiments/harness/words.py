"""The words of the command line: their kinds, and what was meant by unknown ones."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tyro

from wdjax import check

# The default of each is to leave the choice to the experiment, or no: not worth saying.
Flag: TypeAlias = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Number: TypeAlias = Annotated[
    int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")
]
Name: TypeAlias = Annotated[
    str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")
]
Names: TypeAlias = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")
]
Text: TypeAlias = Annotated[
    str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")
]
Folder: TypeAlias = Annotated[
    Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")
]
File: TypeAlias = Annotated[
    Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")
]
Results: TypeAlias = Annotated[Path, tyro.conf.arg(metavar="DIR")]
Model: TypeAlias = Annotated[
    Literal["mlp", "plain_mlp", "cnn", "resnet20", "wide_resnet", "vit"] | None,
    tyro.conf.arg(help_behavior_hint=""),
]
Schedule: TypeAlias = Annotated[
    Literal["constant", "step", "cosine", "warm_up_cosine", "warm_restarts"] | None,
    tyro.conf.arg(help_behavior_hint=""),
]

Commands: TypeAlias = Mapping[str, Callable[..., None]]


def run(commands: Commands, words: Sequence[str], description: str) -> None:
    """Run the command that the words call.

    Args:
        commands: by name; a parameter that is given by name only is an option.
        words: what was typed.
        description: for the help.

    Raises:
        ValueError: there is no such command, option, or choice of an option.
    """
    words = [*words[1:2], "--help"] if words[0] == "help" else list(words)
    refuse(commands, words)
    # A completion script is for a name without spaces; see docs/command_line.md.
    completes = words[0].startswith("--tyro-")
    brief = {name: _brief(command) for name, command in commands.items()}
    tyro.extras.subcommand_cli_from_dict(
        dict(commands) if words[0] in commands else brief,
        prog="experiments" if completes else "python -m experiments",
        description=description,
        args=words,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
    )


def _brief(command: Callable[..., None]) -> Callable[..., None]:
    """The command with no more than the first line of its docstring."""

    @functools.wraps(command)
    def brief(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    brief.__doc__ = (command.__doc__ or "").splitlines()[0]
    return brief


def refuse(commands: Commands, words: Sequence[str]) -> None:
    """Name the nearest command, option or choice for one that there is not."""
    if words[0].startswith("-"):
        return
    if words[0] not in commands:
        known = check.nearest(words[0], commands)
        raise ValueError(f"There is no command {words[0]!r}. {known}")
    options = _options(commands[words[0]])
    for word, following in zip(words[1:], [*words[2:], ""], strict=False):
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if not name.startswith("--") or name == "--help":
            continue
        if name not in options:
            known = check.nearest(name, [*options, "--help"])
            raise ValueError(f"There is no option {name}. {known}")
        value = value if equals else following
        if options[name] and value not in options[name]:
            known = check.nearest(value, options[name])
            raise ValueError(f"{name} is {value!r}. {known}")


def _options(command: Callable[..., None]) -> dict[str, tuple[str, ...]]:
    """A command's options, each with its choices if it has any."""
    hints = typing.get_type_hints(command)
    return {
        f"--{name.replace('_', '-')}": _choices(hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _choices(hint: Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return tuple(c for part in typing.get_args(hint) for c in _choices(part))


def without_colours() -> None:
    """Keep tyro from colours, which it knows no public setting for."""
    tyro._experimental_options["ansi_codes"] = False
