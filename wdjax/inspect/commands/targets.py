"""What ``module:name`` on a command line names."""

import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from typing import Any

SUCH_AS = {"optimizer": "optax:adamw", "--optimizer": "train:make_optimizer"}
"""A target for an argument, where it is not of parameters."""


def made(name: str, target: str) -> Any:
    """What the factory ``module:name`` returns."""
    factory = named(name, target)
    if not callable(factory):
        raise ValueError(
            f"{name}: {target} is of type {type(factory).__name__}; give a function "
            "without arguments that returns it."
        )
    try:
        return factory()
    except Exception as error:
        raise ValueError(
            f"{name}: calling {target}() failed, {in_words(error)} It "
            "must work without arguments."
        ) from error


def named(name: str, target: str) -> Any:
    """The object that ``module:name`` names, a module of this directory first.

    Raises:
        ValueError: the target is not of that form, or is not there.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        module_name, _, attribute = target.rpartition(".")
        meant = f"{module_name}:{attribute}" if module_name else SUCH_AS.get(name)
        raise ValueError(
            f"{name} is {target!r}; write module:name, such as "
            f"{meant or 'train:init_params'}."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed command does not start with it
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(
            f"{name}: importing {module_name!r} failed, {in_words(error)} "
            f"{_meant(module_name, _modules())}Run the command where the module lies."
        ) from error
    if not hasattr(module, attribute):
        public = [known for known in dir(module) if not known.startswith("_")]
        said = f"{name}: module {module_name!r} has no {attribute!r}. "
        raise ValueError((said + _meant(attribute, public)).rstrip())
    return getattr(module, attribute)


def _modules() -> list[str]:
    """The modules that could be imported, those inside packages left out."""
    return [found.name for found in pkgutil.iter_modules()]


def _meant(name: str, known: Iterable[str]) -> str:
    """A question that suggests the nearest of many names, if one is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"Did you mean {near[0]!r}? " if near else ""


def in_words(error: Exception) -> str:
    """An exception in a line that ends like a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".") + "."
