"""Trees of multipliers: spread over the parameters, or refused in plain words."""

import re
from collections.abc import Iterator
from typing import Any

import jax
from jaxtyping import PyTree

from wdjax.decay.where.leaves import Leaf, is_hidden, name_of, shown
from wdjax.decay.where.multipliers import check_multiplier


def spread(tree: PyTree, params: PyTree, leaves: list[Leaf]) -> list[Any]:
    """The multipliers of a (prefix) tree, one for each leaf, hidden ones included.

    Raises:
        ValueError: it is no tree of multipliers, or one of another structure.
    """
    _refuse_what_is_no_tree(tree)
    structure = jax.tree.structure(params, is_leaf=is_hidden)
    try:
        multipliers = _flatten_up_to(tree, structure, params)
    except (ValueError, TypeError) as error:
        found = next(_differences(tree, params, ()), error)
        raise ValueError(
            "where is a tree whose structure is neither that of the parameters nor a "
            f"prefix of it: {found}. The leaves of the parameters: {shown(leaves)}."
        ) from None
    for leaf, multiplier in zip(leaves, multipliers, strict=True):
        if leaf.shape is not None:
            check_multiplier(f"where: the multiplier of leaf {leaf.path!r}", multiplier)
    return multipliers


def _refuse_what_is_no_tree(tree: PyTree) -> None:
    if _is_flax_module(tree):
        raise ValueError(
            f"where is a Flax module, {type(tree).__name__}; give a rule by its "
            "modules' classes (wdjax.where.by_module), or a tree of multipliers made "
            "from the parameters, jax.tree.map(…, params)."
        )
    if callable(tree):
        raise ValueError(
            f"where is the callable {tree!r}; give a rule (wdjax.where.by_path(…)) or "
            "a tree of multipliers, which wrappers cannot take for a schedule."
        )


def _is_flax_module(tree: Any) -> bool:
    """Told by name: the core does not import Flax."""
    return any(
        base.__name__ == "Module" and base.__module__.startswith("flax.")
        for base in type(tree).__mro__
    )


def _flatten_up_to(tree: PyTree, structure: Any, params: PyTree) -> list[Any]:
    try:
        full = jax.tree.map(
            lambda m, below: jax.tree.map(lambda _: m, below), tree, params
        )  # `tree` is a prefix of the parameters; hidden subtrees stay as they are
    except (ValueError, TypeError):
        if not any(map(is_hidden, jax.tree.leaves(params, is_leaf=is_hidden))):
            raise
        return structure.flatten_up_to(tree)  # hidden subtrees are a prefix of `tree`
    return jax.tree.leaves(full, is_leaf=is_hidden)


def _differences(tree: Any, params: Any, path: tuple[Any, ...]) -> Iterator[str]:
    """What is wrong with a tree, in words, from the root down."""
    if is_hidden(params) or _is_leaf(tree):
        return
    name = "/".join(map(name_of, path))
    here = f"at {name!r} it" if path else "it"
    if tree is None:
        if params is not None:
            yield f"{here} has None; write 0.0 for leaves to leave alone"
    elif _is_leaf(params):
        yield f"{here} goes on, but the parameters have a leaf there"
    elif type(tree) is not type(params):
        yield (
            f"{here} is a {type(tree).__name__} where the parameters are a "
            f"{type(params).__name__}; make it from the parameters themselves, "
            "jax.tree.map(…, params)"
        )
    else:
        ours, theirs = _children(params), _children(tree)
        if ours.keys() != theirs.keys():
            yield f"{here} {_keys(list(ours), list(theirs))}"
        for key in (key for key in ours if key in theirs):
            yield from _differences(theirs[key], ours[key], (*path, key))


def _keys(ours: list[Any], theirs: list[Any]) -> str:
    missing = ", ".join(repr(name_of(key)) for key in ours if key not in theirs)
    extra = [name_of(key) for key in theirs if key not in ours]
    parts = [f"has no entry for {missing}"] if missing else []
    if extra:
        names = ", ".join(map(repr, extra))
        parts.append(f"has {names}, which the parameters lack")
    if any(re.search(r"[*+?()|\\/]", name) for name in extra):
        parts.append("patterns go into wdjax.where.by_path({pattern: multiplier})")
    return "; ".join(parts)


def _children(node: Any) -> dict[Any, Any]:
    """One level of a tree."""
    flat = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    return {path[0]: child for path, child in flat[0]}


def _is_leaf(node: Any) -> bool:
    return jax.tree_util.all_leaves([node])
