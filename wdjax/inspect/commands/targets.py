"""What ``module:name`` on a command line names."""

import importlib
import os
import sys
from typing import Any


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
        raise ValueError(
            f"{name} is {target!r}; write module:name, such as train:init_params."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed command does not start with it
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(
            f"{name}: importing {module_name!r} failed, {in_words(error)} Run the "
            "command where the module lies."
        ) from error
    if not hasattr(module, attribute):
        raise ValueError(f"{name}: module {module_name!r} has no {attribute!r}.")
    return getattr(module, attribute)


def in_words(error: Exception) -> str:
    """An exception in a line that ends like a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".") + "."
