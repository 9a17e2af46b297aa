"""The leaves of the parameters, with paths as a person would write them."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

KeyPath: TypeAlias = tuple[Any, ...]


class Leaf(NamedTuple):
    """A leaf's path, shape and dtype; ``None`` for the last two of a hidden one."""

    path: str
    shape: tuple[int, ...] | None
    dtype: Any


def leaves_of(params: PyTree) -> list[Leaf]:
    """Every leaf, and every subtree that ``optax.partition`` has hidden."""
    flat, _ = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_hidden)
    boxed = _boxes(path for path, _ in flat)
    return [_leaf(path, value, boxed) for path, value in flat]


def is_hidden(value: Any) -> bool:
    """Whether a node stands for what ``optax.partition`` or ``masked`` left out."""
    return isinstance(value, optax.MaskedNode)


def reaches(pattern: str, leaf: Leaf) -> bool:
    """Whether a pattern matches a leaf, or may match below a hidden subtree."""
    if re.fullmatch(pattern, leaf.path):
        return True
    return leaf.shape is None and any(
        head is None or head.fullmatch(leaf.path) for head in heads(pattern)
    )


def heads(pattern: str) -> list[re.Pattern[str] | None]:
    """A pattern up to each of its slashes: what may match a path's beginning.

    ``None`` for half of a group that spans a slash: it cannot tell.
    """
    parts = pattern.split("/")
    return [_compiled("/".join(parts[:n])) for n in range(1, len(parts))]


def refuse_unmatched(pattern: str, leaves: list[Leaf]) -> None:
    """Refuse a pattern that matches no leaf and cannot match a hidden one."""
    if not any(reaches(pattern, leaf) for leaf in leaves):
        raise ValueError(
            f"where: pattern {pattern!r} matches no leaf. It must match a whole"
            f" path (re.fullmatch), such as: {shown(leaves)}."
        )


def shown(leaves: list[Leaf]) -> str:
    """The first few paths."""
    more = ", …" if len(leaves) > 8 else ""
    names = (leaf.path or "(the array itself)" for leaf in leaves[:8])
    return ", ".join(names) + more


def name_of(key: Any) -> str:
    """A key of a path as a word."""
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _leaf(path: KeyPath, value: Any, boxes: set[KeyPath]) -> Leaf:
    kept = path[:-1] if path[:-1] in boxes else path
    name = "/".join(map(name_of, kept))
    if is_hidden(value):
        return Leaf(name, None, None)
    return Leaf(name, jnp.shape(value), jnp.result_type(value))


def _boxes(paths: Iterable[KeyPath]) -> set[KeyPath]:
    """The nodes that hold a ``.value`` and nothing else: Flax's variables.

    A dataclass with other fields beside its ``value`` (attention's query, key and
    value) is no box.
    """
    paths = list(paths)
    below = Counter(path[:n] for path in paths for n in range(1, len(path)))
    value = jax.tree_util.GetAttrKey("value")
    return {p[:-1] for p in paths if p[-1:] == (value,) and below[p[:-1]] == 1}


def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None
