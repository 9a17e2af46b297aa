"""Trees that do not fit are refused in words that say where and why."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import wdjax
from wdjax import where

PARAMS = {
    "body": {"bias": jnp.ones(3), "kernel": jnp.ones((2, 3))},
    "head": {"bias": jnp.ones(1), "kernel": jnp.ones((3, 1))},
    "norm": {"scale": jnp.ones(3)},
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    body: dict
    head: dict
    norm: dict


MAKE_IT = "make it from the parameters themselves, jax.tree.map(…, params)"
MISFITS = {
    "missing": ({"body": 1.0}, "it has no entry for 'head', 'norm'"),
    "extra": (
        {"body": 1.0, "head": 1.0, "norm": 1.0, "tail": 1.0, "wing": 1.0},
        "it has 'tail', 'wing', which the parameters lack",
    ),
    "misspelt": (
        {"body": 1.0, "haed": 1.0, "norm": 1.0},
        "it has no entry for 'head'; has 'haed', which the parameters lack",
    ),
    "further down": (
        {"body": {"bias": 1.0}, "head": 1.0, "norm": 1.0},
        "at 'body' it has no entry for 'kernel'",
    ),
    "list": (
        [1.0, 1.0, 1.0],
        f"it is a list where the parameters are a dict; {MAKE_IT}",
    ),
    "none": (
        {"body": 1.0, "head": 1.0, "norm": None},
        "at 'norm' it has None; write 0.0 for leaves to leave alone",
    ),
    "too deep": (
        {"body": {"bias": {"too": 1.0}, "kernel": 1.0}, "head": 1.0, "norm": 1.0},
        "at 'body/bias' it goes on, but the parameters have a leaf there",
    ),
    "too deep in a whole tree": (
        jax.tree.map(lambda _: 1.0, PARAMS) | {"norm": {"scale": {"too": 1.0}}},
        "at 'norm/scale' it goes on, but the parameters have a leaf there",
    ),
    "pattern": (
        {"body": 1.0, "norm": 1.0, r".*/kernel": 1.0},
        (
            "it has no entry for 'head'; has '.*/kernel', which the parameters lack; "
            "patterns go into wdjax.where.by_path({pattern: multiplier})"
        ),
    ),
    "state": (
        State(**PARAMS),
        f"it is a State where the parameters are a dict; {MAKE_IT}",
    ),
}


@pytest.mark.parametrize(("tree", "words"), MISFITS.values(), ids=MISFITS)
def test_a_tree_of_another_structure_is_refused_in_words(tree, words):
    with pytest.raises(ValueError, match="neither that of the parameters") as error:
        wdjax.decay_weights(0.1, where=tree).init(PARAMS)
    leaves = "The leaves of the parameters: body/bias, body/kernel"
    assert f"nor a prefix of it: {words}. {leaves}" in str(error.value)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"body": 1.0, "haed": 1.0, "norm": 1.0}, "no entry for 'head'; has 'haed'"),
        (
            {"body": PARAMS["body"], "head": {"bias": 1.0}, "norm": 1.0},
            "of it: at 'head' it has no entry for 'kernel'",
        ),
    ],
    ids=["beside it", "further down"],
)
def test_a_misfit_behind_a_hidden_subtree_is_still_found(tree, words):
    decay = wdjax.decay_weights(0.1, where=tree)
    both = optax.partition(
        {"a": decay, "b": optax.identity()}, {"body": "b", "head": "a", "norm": "a"}
    )
    with pytest.raises(ValueError, match=words):
        both.init(PARAMS)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """A module of another library than Flax, whose name is no leaf."""

    w: Any
    name: str = dataclasses.field(default="a", metadata={"static": True})


def test_a_module_that_is_not_of_flax_may_be_a_tree_of_multipliers():
    assert where.resolve(Module(0.5), Module(jnp.ones(2))) == [0.5]


def test_a_difference_that_no_leaf_shows_is_told_in_the_words_of_jax():
    with pytest.raises(ValueError, match=r"(?s)prefix of it: .*'b'"):
        where.resolve(Module(0.5, "b"), Module(jnp.ones(2)))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("matrices", "matrices"),
        ("matrix", "matrices"),
        ("except_norms", "except_norm_and_bias"),
        ("by-path", "by_path"),
        ("no_bias", "except_norm_and_bias"),
        ("xyz", "matrices"),
    ],
)
def test_a_string_is_answered_with_the_rule_of_that_name(name, rule):
    message = rf"string '{name}'; give the rule itself, such as wdjax\.where\.{rule}\."
    with pytest.raises(ValueError, match=message):
        wdjax.add_l2(0.1, where=name).init(PARAMS)
    assert hasattr(where, rule)


def test_every_suggested_name_exists():
    for name in where.resolution.RULES:
        assert name in where.__all__
        assert hasattr(where, name)


def test_a_rule_that_is_a_class_is_refused_as_a_callable():
    with pytest.raises(ValueError, match="where is the callable"):
        wdjax.decay_weights(0.1, where=where.ByPath).init(PARAMS)


def test_a_flax_module_is_no_mask():
    nnx = pytest.importorskip("flax.nnx", reason="needs Flax")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    params = nnx.state(model, nnx.Param)
    for tree in (model, nnx.eval_shape(lambda: model)):
        with pytest.raises(ValueError, match=r"Flax module, Linear; .*by_module"):
            wdjax.decay_weights(0.1, where=tree).init(params)


def test_an_nnx_state_of_other_parameters_is_explained():
    nnx = pytest.importorskip("flax.nnx", reason="needs Flax")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    state = jax.tree.map(lambda p: 1.0, nnx.state(model, nnx.Param))
    plain = {"bias": jnp.ones(3), "kernel": jnp.ones((2, 3))}
    with pytest.raises(ValueError, match="it is a State where the parameters are a di"):
        wdjax.decay_weights(0.1, where=state).init(plain)


WHAT_PULLS_NOTHING = {
    "matrices": where.matrices,
    "except_norm_and_bias": where.except_norm_and_bias,
    "MinimumRank(rank=3)": where.MinimumRank(3),
    "ExceptNames(leaf='bias|scale', anywhere='x')": where.ExceptNames(
        "bias|scale", "x"
    ),
    "complement(complement(matrices))": where.complement(
        where.complement(where.matrices)
    ),
    r"stacked(matrices, {'.*': 1})": where.stacked(where.matrices, {".*": 1}),
}


@pytest.mark.parametrize(
    ("name", "rule"), WHAT_PULLS_NOTHING.items(), ids=WHAT_PULLS_NOTHING
)
def test_a_rule_that_pulls_no_leaf_is_refused_by_name(name, rule):
    params = {"a": {"bias": jnp.ones(3)}, "b": {"scale": jnp.ones(1)}}
    for make in (wdjax.add_l2, wdjax.decay_weights):
        words = f"where: {name} pulls none of the leaves: a/bias, b/scale."
        with pytest.raises(ValueError, match=re.escape(words)):
            make(0.1, where=rule).init(params)
    assert "0.0" in where.describe(rule, params)  # which must not refuse


def test_zeros_by_the_users_own_word_are_no_miss():
    params = {"a": {"bias": jnp.ones(3)}}
    for silent in (
        0.0,
        {"a": 0.0},
        where.by_path({".*": 0.0}),
        where.by_path({".*": 0.0}, default=0.0),
        where.by_module({"a": dict}, {dict: 0.0}),
        where.complement(1.0),
    ):
        assert where.resolve(silent, params) == [0.0]


def test_nothing_to_pull_is_no_miss_where_there_is_nothing_or_it_is_hidden():
    assert where.resolve(where.matrices, {}) == []
    hidden = {"kernel": optax.MaskedNode(), "bias": jnp.ones(2)}
    assert where.resolve(where.matrices, hidden) == [0.0]
    assert where.resolve(where.matrices, {"kernel": optax.MaskedNode()}) == []


def test_a_rule_of_ones_own_is_plain_data_with_a_method():
    @dataclasses.dataclass(frozen=True)
    class ByWidth:
        """One over the width, as for µP's decay."""

        def assign(self, leaves):
            return [where.Assignment(1 / leaf.shape[-1], "1/width") for leaf in leaves]

    assert where.resolve(ByWidth(), PARAMS) == [1 / 3, 1 / 3, 1, 1, 1 / 3]
    assert "1/width" in where.describe(ByWidth(), PARAMS)


def test_a_complement_is_the_leaves_left_out():
    rule = where.complement(where.by_path({".*/kernel": 0.5}, default=0.0))
    assert where.resolve(rule, PARAMS) == [1, 0, 1, 0, 1]
    assert where.resolve(where.complement(rule), PARAMS) == [0, 1, 0, 1, 0]
    tree = where.complement({"body": 2.0, "head": False, "norm": 0})
    assert tree == {"body": 0.0, "head": 1.0, "norm": 1.0}
    assert "not: rank 1 < 2" in where.describe(where.complement(where.matrices), PARAMS)


def test_two_rates_on_a_rule_and_its_complement_are_one_tree_of_rates():
    rule = where.by_path({".*/bias": 1.0}, default=0.0)
    two = optax.chain(
        wdjax.decay_weights(0.5, where=rule),
        wdjax.decay_weights(0.25, where=where.complement(rule)),
    )
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = two.update(zeros, two.init(PARAMS), PARAMS)
    by_hand = [-0.5, -0.25, -0.5, -0.25, -0.25]
    for update, u in zip(jax.tree.leaves(updates), by_hand, strict=True):
        assert (update == u).all()


def test_a_complement_may_be_partly_hidden():
    rule = where.complement(where.by_path({"body/.*": 1.0, "head/.*": 0.0}))
    hidden = {"body": optax.MaskedNode(), "head": PARAMS["head"]}
    assert where.resolve(rule, hidden) == [1.0, 1.0]


def test_a_complement_of_every_leaf_or_of_no_number_is_refused():
    with pytest.raises(
        ValueError, match="where=None is every leaf and leaves out none"
    ):
        where.complement(None)
    with pytest.raises(ValueError, match="complement: a multiplier is -1"):
        where.complement({"body": -1.0})
    with pytest.raises(ValueError, match="complement: a multiplier is 'matrices'"):
        where.complement("matrices")
    with pytest.raises(
        ValueError, match=r"complement: a multiplier is <class .*ByPath"
    ):
        where.complement(where.ByPath)


@pytest.mark.parametrize("number", [8, 9])
def test_a_sentence_names_eight_leaves_and_says_when_there_are_more(number):
    params = {f"b{i}": jnp.ones(1) for i in range(number)}
    names = ", ".join(f"b{i}" for i in range(8))
    more = ", …" if number > 8 else ""
    with pytest.raises(ValueError, match=f"none of the leaves: {names}{more}\\. "):
        wdjax.where.resolve(wdjax.where.matrices, params)


def test_a_bare_array_has_no_path_and_is_named_all_the_same():
    with pytest.raises(ValueError, match=r"none of the leaves: \(the array itself\)\."):
        wdjax.where.resolve(wdjax.where.matrices, jnp.ones(3))


def test_a_visible_leaf_is_not_matched_by_the_beginning_of_a_pattern():
    """Only below a hidden subtree may there be more of a path to match."""
    params = {"a": jnp.ones(2), "b": optax.MaskedNode()}
    with pytest.raises(ValueError, match="'a/w' matches no leaf"):
        wdjax.where.resolve(wdjax.where.by_path({"a/w": 1.0}, default=0.0), params)
    hidden = wdjax.where.by_path({"b/w": 1.0}, default=0.5)
    assert wdjax.where.resolve(hidden, params) == [0.5]


NO_RULES = ("describe", "is_zero", "pulled", "resolve", "stack_axes")
RULES = [n for n in wdjax.where.__all__ if n[0].islower() and n not in NO_RULES]


@pytest.mark.parametrize("name", RULES)
def test_the_name_of_a_rule_as_a_string_suggests_the_rule(name):
    with pytest.raises(ValueError, match=rf"such as wdjax\.where\.{name}\."):
        wdjax.where.resolve(name, {"w": jnp.ones((2, 2))})
