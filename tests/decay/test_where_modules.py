"""Rules by module class, on mappings written by hand: the core knows no Flax."""

import inspect

import jax.numpy as jnp
import optax
import pytest

from wdjax import where
from wdjax.decay.where import resolve


class Model: ...


class Linear: ...


class Narrow(Linear): ...


class Norm: ...


class Attention: ...


MODULES = {
    "": Model,
    "attn": Attention,
    "attn/out": Linear,
    "attn/qkv": Narrow,
    "norm": Norm,
}
PARAMS = {
    "attn": {
        "gain": jnp.ones(1),
        "out": {"kernel": jnp.ones((2, 2))},
        "qkv": {"kernel": jnp.ones((2, 2))},
    },
    "norm": {"scale": jnp.ones(2)},
    "token": jnp.ones(2),
}
#        attn/gain, attn/out/kernel, attn/qkv/kernel, norm/scale, token


def rule(rules, default=None, modules=MODULES):
    return where.by_module(modules, rules, default=default)


def test_the_innermost_listed_module_decides():
    assert resolve(rule({Linear: 1.0}, 0.0), PARAMS) == [0, 1, 1, 0, 0]
    assert resolve(rule({Attention: 2.0}, 0.0), PARAMS) == [2, 2, 2, 0, 0]
    nested = rule({Attention: 2.0, Linear: 1.0, Model: 3.0})
    assert resolve(nested, PARAMS) == [2, 1, 1, 3, 3]


def test_a_subclass_counts_as_its_base_unless_it_is_listed():
    assert resolve(rule({Linear: 1.0, Narrow: 5.0}, 0.0), PARAMS) == [0, 1, 5, 0, 0]
    assert resolve(rule({Narrow: 5.0}, 0.0), PARAMS) == [0, 0, 5, 0, 0]


def test_a_name_stands_for_its_class():
    assert resolve(rule({"Linear": 1.0, "Narrow": 5.0}, 0.0), PARAMS) == [0, 1, 5, 0, 0]
    with pytest.raises(
        ValueError, match="lists Linear twice, as a class and as a name"
    ):
        rule({"Linear": 1.0, Linear: 5.0}, 0.0).assign(where.leaves.leaves_of(PARAMS))


def test_a_name_that_only_begins_like_a_module_is_outside_of_it():
    params = {"attn": {"gain": jnp.ones(1)}, "attn2": {"gain": jnp.ones(1)}}
    assert resolve(rule({Attention: 2.0}, 1.0), params) == [2, 1]


def test_a_class_without_modules_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"no module is a Conv\. Known: Attention, Linea"
    ):
        rule({type("Conv", (), {}): 1.0}, 0.0)
    with pytest.raises(ValueError, match="Did you mean 'Linear'"):
        rule({"linear": 1.0}, 0.0)


def test_a_class_that_decides_no_leaf_is_refused():
    empty = MODULES | {"dropout": type("Dropout", (), {})}
    with pytest.raises(ValueError, match="lists Dropout, which decides no leaf"):
        resolve(rule({Linear: 1.0, "Dropout": 0.0}, 0.0, empty), PARAMS)
    with pytest.raises(ValueError, match="lists Linear, which decides no leaf"):
        resolve(rule({Linear: 1.0}, 0.0), {"params": PARAMS})  # other paths
    hidden = {"attn": optax.MaskedNode(), "norm": PARAMS["norm"]}
    assert resolve(rule({Linear: 1.0}, 0.0), hidden) == [0.0]


def test_a_leaf_in_no_listed_module_is_refused_without_a_default():
    with pytest.raises(
        ValueError, match=r"'attn/gain' lies in no listed .* it: Attention, Model\)"
    ):
        resolve(rule({Linear: 1.0, Norm: 0.0}), PARAMS)
    with pytest.raises(ValueError, match="around it: none that is known"):
        resolve(rule({Linear: 1.0}, modules={"attn/out": Linear}), PARAMS)


def test_a_hidden_leaf_needs_no_module():
    hidden = PARAMS | {"norm": optax.MaskedNode(), "token": optax.MaskedNode()}
    assert resolve(rule({Attention: 2.0}), hidden) == [2, 2, 2]


def test_describe_names_the_module():
    table = where.describe(rule({Linear: 1.0}, 0.0), PARAMS).splitlines()
    assert table[2].endswith("1.0         in Linear 'attn/out'")
    assert table[3].endswith("1.0         in Narrow 'attn/qkv'")
    assert table[4].endswith("0.0         default")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rule({}), "by_module got no classes"),
        (lambda: rule({Linear: -1.0}), "multiplier of Linear is -1"),
        (lambda: rule({Linear: 1.0}, default="0"), "by_module: default is '0'"),
        (lambda: rule({Linear: 1.0}, modules={}), r"modules is \{\}; give"),
        (lambda: untyped({"": Linear()}, {Linear: 1.0}), "at '' is .* its class"),
        (
            lambda: untyped(Linear(), {Linear: 1.0}),
            r"modules is <.*nnx_modules\(model\)",
        ),
        (lambda: untyped(MODULES, {1: 1.0}), "1 is neither a class nor its name"),
    ],
)
def test_bad_modules_are_refused_at_once(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def untyped(modules, rules):
    """Without the types' own check."""
    return inspect.unwrap(where.by_module)(modules, rules)


def test_a_rule_by_module_is_no_hyper_parameter():
    linear = rule({Linear: 1.0}, 0.0)
    assert not callable(linear)
    assert linear == rule({Linear: 1.0}, 0.0)
    assert hash(linear) == hash(rule({Linear: 1.0}, 0.0))
    plain = where.ByModule(tuple(MODULES.items()), ((Linear, 1.0),))
    assert plain == rule({Linear: 1.0})
