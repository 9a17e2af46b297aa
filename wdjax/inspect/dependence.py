"""What each output of a program depends on, and whether entry by entry.

Read from the traced program, so that no number has to be tried. It errs on one side
only: an output may be said to depend on more than it does, or to mix entries that it
does not mix.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import Jaxpr, Literal


class Sources(NamedTuple):
    """The inputs that a value depends on, by their numbers.

    Attributes:
        inputs: all of them.
        mixed: those of which an entry may depend on more than the one entry in its
            place: through a norm, a product, a branch taken for all.
    """

    inputs: frozenset[int]
    mixed: frozenset[int]


_NOTHING = Sources(frozenset(), frozenset())

# Whether numbers are finite is not counted: it tells nothing until the run is lost.
_IGNORED = frozenset({"is_finite"})
_ENTRY_BY_ENTRY = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh
    bitcast_convert_type broadcast_in_dim cbrt ceil clamp complex concatenate
    conj convert_element_type copy copy_p cos cosh div eq erf erf_inv erfc exp
    exp2 expand_dims expm1 floor ge gt imag integer_pow le log log1p logistic lt
    max min mul ne neg nextafter not or pad pow pvary real reduce_precision rem
    reshape rev round rsqrt select_n sharding_constraint sign sin sinh slice
    split sqrt square squeeze sub tan tanh transpose xor
    """.split()  # noqa: SIM905 - a list of fifty lines says no more
)


def sources(program: Callable[..., Any], *trees: Any) -> list[Sources]:
    """The sources of each output's leaf, in terms of all the inputs' leaves.

    Args:
        program: a pure function of trees; it is traced, not run.
        trees: its arguments, or their shapes.

    Returns:
        One entry for each leaf of what the program returns.
    """
    traced = jax.make_jaxpr(program)(*trees).jaxpr
    return _outputs(traced, [_single(i) for i in range(len(traced.invars))])


def _single(i: int) -> Sources:
    return Sources(frozenset({i}), frozenset())


def _together(values: Sequence[Sources]) -> Sources:
    return Sources(
        frozenset().union(*(v.inputs for v in values)),
        frozenset().union(*(v.mixed for v in values)),
    )


def _mixed(values: Sequence[Sources]) -> Sources:
    inputs = _together(values).inputs
    return Sources(inputs, inputs)


def _outputs(jaxpr: Jaxpr, inputs: Sequence[Sources]) -> list[Sources]:
    """The sources of a program's outputs, given those of its inputs."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(atoms: Sequence[Any]) -> list[Sources]:
        return [
            _NOTHING if isinstance(atom, Literal) else known.get(atom, _NOTHING)
            for atom in atoms
        ]

    for equation in jaxpr.eqns:
        after = _after(equation, of(equation.invars))
        known.update(zip(equation.outvars, after, strict=True))
    return of(jaxpr.outvars)


def _after(equation: Any, inputs: list[Sources]) -> list[Sources]:
    """The sources of an equation's outputs."""
    name, outputs = equation.primitive.name, len(equation.outvars)
    if name in _IGNORED:
        return [_NOTHING] * outputs
    if name in _ENTRY_BY_ENTRY:
        return [_together(inputs)] * outputs
    if name == "optimization_barrier":
        return inputs
    if name in _STRUCTURED:
        return _STRUCTURED[name](equation.params, inputs)
    inner = _inner(equation.params)
    if inner is not None and len(inner.invars) == len(inputs):
        return _outputs(inner, inputs)
    return [_mixed(inputs)] * outputs


def _inner(params: dict[str, Any]) -> Jaxpr | None:
    """The program inside a call: jit, checkpoint, custom derivatives and the like."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr", "call"):
        if name in params:
            return getattr(params[name], "jaxpr", params[name])
    return None


def _cond(params: dict[str, Any], inputs: list[Sources]) -> list[Sources]:
    which, *operands = inputs
    branches = [_outputs(branch.jaxpr, operands) for branch in params["branches"]]
    return [
        _together([_mixed([which]), *branch]) for branch in zip(*branches, strict=True)
    ]


def _scan(params: dict[str, Any], inputs: list[Sources]) -> list[Sources]:
    consts, n = inputs[: params["num_consts"]], params["num_carry"]
    carried, xs = inputs[len(consts) :][:n], inputs[len(consts) + n :]

    def body(carried: list[Sources]) -> list[Sources]:
        return _outputs(params["jaxpr"].jaxpr, [*consts, *carried, *xs])

    carried = _settled(lambda c: body(c)[:n], carried)
    return [*carried, *(_mixed([y]) for y in body(carried)[n:])]  # one after the other


def _while(params: dict[str, Any], inputs: list[Sources]) -> list[Sources]:
    n, m = params["cond_nconsts"], params["body_nconsts"]
    for_cond, for_body, carried = inputs[:n], inputs[n : n + m], inputs[n + m :]

    def body(carried: list[Sources]) -> list[Sources]:
        (goes_on,) = _outputs(params["cond_jaxpr"].jaxpr, [*for_cond, *carried])
        after = _outputs(params["body_jaxpr"].jaxpr, [*for_body, *carried])
        return [_together([a, _mixed([goes_on])]) for a in after]

    return _settled(body, carried)


def _settled(
    body: Callable[[list[Sources]], list[Sources]], carried: list[Sources]
) -> list[Sources]:
    """What a loop carries, once no round adds a source any more."""
    while True:
        after = [_together(pair) for pair in zip(carried, body(carried), strict=True)]
        if after == carried:
            return carried
        carried = after


_STRUCTURED = {"cond": _cond, "scan": _scan, "while": _while}
