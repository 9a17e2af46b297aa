"""Flax NNX modules as pure functions."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from flax import nnx
from jaxtyping import Array, Float, Key

from wdjax.models.model import Init, Model, Params, Statistics, check_params, paths

# nnx.GraphDef and nnx.State; Flax's own annotations on these two classes use
# typing.Hashable, at which beartype warns.
_GraphDef: TypeAlias = Any
_State: TypeAlias = Any


def from_nnx(make_module: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """Turn a Flax NNX module into ``(init, apply)`` on a plain tree of parameters.

    The module is built once, abstractly, to learn its structure: no memory is used,
    and a module that cannot be adapted is refused at once. NNX's graph mode is the
    one in force at that moment, and may change afterwards.

    Args:
        make_module: builds the module, drawing its weights from the ``Rngs`` it is
            given. Called again at every ``init``, with keys that may be traced.

    Returns:
        The model. Its parameters carry the module's attribute names; a list of
        layers gives ``layers/0/kernel``.

    Raises:
        ValueError: the module holds state other than ``nnx.Param`` (statistics of
            batch normalisation, random streams of dropout, arrays as attributes),
            for which ``apply(params, inputs)`` has no place.
    """
    init, call = _functional(make_module)

    def apply(
        params: Params, inputs: Float[Array, "n *features"]
    ) -> Float[Array, "n classes"]:
        return call(params, inputs)

    return Model(init, apply)


def from_nnx_with_statistics(make_module: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """Turn a module that takes and returns statistics of its batch into a model.

    Nothing is kept: ``module(inputs, given)`` returns ``(logits, seen)``, where
    ``given`` and ``seen`` are nested dictionaries. With an empty ``given`` each layer
    uses, and returns, its batch's own statistics; otherwise those given.

    Args:
        make_module: builds the module, as for :func:`from_nnx`.

    Returns:
        The model, with ``apply(params, inputs, statistics=None)`` and ``collect``.
    """
    init, call = _functional(make_module)

    def apply(
        params: Params,
        inputs: Float[Array, "n *features"],
        statistics: Statistics | None = None,
    ) -> Float[Array, "n classes"]:
        given = {} if statistics is None else statistics
        logits, seen = call(params, inputs, given)
        if statistics is not None:
            _check_statistics(statistics, seen)
        return logits

    def collect(params: Params, inputs: Float[Array, "n *features"]) -> Statistics:
        return call(params, inputs, {})[1]

    return Model(init, apply, collect)


def _check_statistics(statistics: Statistics, seen: Statistics) -> None:
    differing = sorted(set(paths(statistics)) ^ set(paths(seen)))
    if differing:
        raise ValueError(
            f"These statistics do not belong to this model: {differing} missing or "
            "unknown. Pass what its collect returns, or None."
        )


def _functional(
    make_module: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[Init, Callable[..., Any]]:
    """``init``, and the call of the module that holds the parameters given."""

    def split(key: Key[Array, ""]) -> tuple[_GraphDef, _State]:
        return _split(make_module(nnx.Rngs(key)))

    # The graph is a pytree without leaves, so that eval_shape can return it.
    graphdef, template = jax.eval_shape(split, jax.random.key(0))

    def init(key: Key[Array, ""]) -> Params:
        _, params = split(key)
        return _to_plain(params)

    def call(params: Params, *args: Any) -> Any:
        module: Any = nnx.merge(graphdef, _from_plain(params, template))
        return module(*args)

    return init, call


def _split(module: nnx.Module) -> tuple[_GraphDef, _State]:
    """The static part and the parameters; refuses a module that holds more."""
    graphdef, params, rest = nnx.split(module, nnx.Param, Ellipsis)
    # While tracing, Flax 0.12 takes an array that is an attribute for static.
    arrays = {
        (*path, name): value
        for path, part in nnx.iter_modules(module)
        for name, value in vars(part).items()
        if isinstance(value, jax.Array)
    }
    found = [
        f"'{'/'.join(map(str, path))}' "
        f"({'array' if isinstance(leaf, jax.Array) else type(leaf).__name__})"
        for path, leaf in (dict(nnx.to_flat_state(rest)) | arrays).items()
    ]
    if found:
        raise ValueError(
            f"This module holds state that is not an nnx.Param: {', '.join(found)}. "
            "A wdjax model is a function of its parameters alone: use layers without "
            "running statistics or random streams (LayerNorm or GroupNorm for "
            "BatchNorm), and build constant arrays inside __call__."
        )
    return graphdef, params


def _to_plain(state: _State) -> Params:
    """Nested dictionaries of arrays; the integers of lists become strings."""
    return _with_string_keys(nnx.to_pure_dict(state))


def _with_string_keys(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {str(name): _with_string_keys(branch) for name, branch in tree.items()}


def _from_plain(params: Params, template: _State) -> _State:
    """The template's variables, holding the values in ``params``."""
    check_params(params, _to_plain(template))

    def value(path: tuple[Any, ...]) -> Any:
        branch: Any = params
        for name in path:
            branch = branch[str(name)]
        return branch

    # By path, not by order: JAX sorts "10" before "2", and 2 before 10.
    return nnx.from_flat_state(
        [
            (path, leaf.replace(value(path)))
            for path, leaf in nnx.to_flat_state(template)
        ]
    )
