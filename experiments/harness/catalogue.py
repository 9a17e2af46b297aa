"""Which experiments there are, and how the command line's options reach them."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import experiments
from wdjax import check

MODES = {"default": "Config", "full": "FULL", "smoke": "SMOKE"}


def names() -> list[str]:
    """The modules of ``experiments`` that are experiments, one file each."""
    found = pkgutil.iter_modules(experiments.__path__)
    return sorted(m.name for m in found if not m.ispkg and m.name != "__main__")


def by_cost() -> list[str]:
    """All experiments, the quickest first."""
    return sorted(names(), key=lambda name: module(name).SECONDS)


def module(name: str) -> ModuleType:
    """Import one experiment.

    Args:
        name: its file's name.

    Returns:
        A module with ``CLAIM``, ``SECONDS`` (on two CPU cores), ``Config``, ``SMOKE``
        and ``run``; with ``FULL`` and ``FULL_SECONDS`` if there is a larger run.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in names():
        raise ValueError(
            f"There is no experiment {name!r}. {check.nearest(name, names())}"
        )
    return importlib.import_module(f"experiments.{name}")


def question(experiment: ModuleType) -> str:
    """What an experiment asks, from its docstring, on one line."""
    asked = re.search(r"^Question\.(.*?)^\w+\.", experiment.__doc__ or "", re.M | re.S)
    return " ".join(asked[1].split()) if asked else ""


def seconds(experiment: ModuleType) -> tuple[int, int]:
    """What an experiment costs on two CPU cores, in default and with ``--full``."""
    return experiment.SECONDS, getattr(experiment, "FULL_SECONDS", experiment.SECONDS)


def mode_of(experiment: ModuleType, mode: str) -> str:
    """The mode asked for, or "default" where an experiment has no larger one."""
    return mode if hasattr(experiment, MODES[mode]) else "default"


def configuration(experiment: ModuleType, mode: str, options: Mapping[str, Any]) -> Any:
    """An experiment's configuration, with the options that it knows replaced.

    Args:
        experiment: from :func:`module`.
        mode: from :func:`mode_of`.
        options: by field name; ``None`` for "not given".

    Returns:
        A frozen dataclass.
    """
    base = getattr(experiment, MODES[mode])
    base = base() if isinstance(base, type) else base
    known = {field.name for field in dataclasses.fields(base)}
    given = {k: v for k, v in options.items() if v is not None and k in known}
    return dataclasses.replace(base, **given)


def settings(experiment: ModuleType) -> set[str]:
    """The names of an experiment's settings."""
    return {field.name for field in dataclasses.fields(experiment.Config)}
