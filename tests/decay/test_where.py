"""Which leaves: rules written out leaf by leaf, and what is refused."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import where
from wdjax.decay.where import resolve

PARAMS = {
    "body": {"bias": jnp.ones(3), "kernel": jnp.ones((2, 3))},
    "head": {"bias": jnp.ones(1), "kernel": jnp.ones((3, 1))},
    "norm": {"scale": jnp.ones(3)},
}
#        body/bias, body/kernel, head/bias, head/kernel, norm/scale
RANKS = [0.0, 1.0, 0.0, 1.0, 0.0]


@chex.dataclass
class Attention:
    query: jax.Array
    key: jax.Array
    value: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Box:
    """A variable as Flax makes it: one field, ``value``."""

    value: jax.Array


def paths(params, rule=None):
    return [line.split()[0] for line in where.describe(rule, params).splitlines()[1:]]


def test_none_is_every_leaf():
    assert resolve(None, PARAMS) == [1.0] * 5


def test_matrices_have_two_axes_or_more():
    assert resolve(where.matrices, PARAMS) == RANKS
    assert resolve(where.matrices, [jnp.ones(()), jnp.ones(4 * (1,))]) == [0.0, 1.0]


def test_a_rank_rule_sees_one_member_under_vmap():
    """Stacked members add an axis; a bias must not become a matrix by it."""
    stacked = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    decay = wdjax.decay_weights(0.5, where=where.matrices)

    def step(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return decay.update(zeros, decay.init(params), params)[0]

    updates = jax.vmap(step)(stacked)
    moved = [bool(u.any()) for u in jax.tree.leaves(updates)]
    assert moved == [bool(m) for m in RANKS]


@pytest.mark.parametrize(
    ("name", "decayed"),
    [
        ("kernel", True),
        ("embedding", True),
        ("w", True),
        ("abnormal_x", True),
        ("NormFreeNet", True),
        ("BatchNorm_0", False),
        ("post_attention_layernorm", False),
        ("norm", False),
        ("norm1", False),
        ("q_norm", False),
        ("ln_f", False),
        ("lnx", True),
        ("bn1", False),
        ("ln_2", False),
        ("bias", False),
        ("in_proj_bias", False),
        ("b", False),
        ("scale", False),
        ("gamma", False),
        ("beta", False),
        ("offset", False),
        ("Bias", False),
        ("GAMMA", False),
        ("body", True),
        ("bnb", True),
        ("upscale", True),
    ],
)
def test_except_norm_and_bias_goes_by_name(name, decayed):
    rule = where.except_norm_and_bias
    params = {"layer": {name: jnp.ones(2)}, "rest": {"kernel": jnp.ones((2, 2))}}
    assert resolve(rule, params) == [float(decayed), 1.0]


@pytest.mark.parametrize(
    "norm",
    [
        "BatchNorm2d",
        "BatchNorm1d_0",
        "ScaleNorm",
        "attn_ln",
        "pre_ln",
        "final_ln",
        "post_ln2",
        "conv1_bn",
        "downsample_bn",
    ],
)
def test_a_gain_called_weight_is_known_by_its_norm(norm):
    """As Equinox and ports from PyTorch name it."""
    params = {norm: {"weight": jnp.ones(2)}, "rest": {"weight": jnp.ones((2, 2))}}
    assert sum(resolve(where.except_norm_and_bias, params)) == 1.0


@pytest.mark.parametrize(
    "module",
    [
        "linear",
        "align",
        "unnormalized_head",
        "kiln",
        "embed_scale_proj",
        "pre_ln_block",
        "d2norm",
    ],
)
def test_a_layer_whose_name_holds_that_of_a_norm_is_decayed(module):
    params = {module: {"weight": jnp.ones((2, 2))}}
    assert resolve(where.except_norm_and_bias, params) == [1.0]


@pytest.mark.parametrize(
    ("module", "decayed"),
    [("b", True), ("scale", True), ("beta", True), ("norm", False), ("ln_f", False)],
)
def test_a_layer_may_be_called_b_but_not_norm(module, decayed):
    params = {
        module: {"kernel": jnp.ones((2, 2))},
        "rest": {"kernel": jnp.ones((2, 2))},
    }
    assert resolve(where.except_norm_and_bias, params) == [float(decayed), 1.0]


def test_by_path_matches_whole_paths():
    rule = where.by_path({r".*/kernel": 1.0, r"head/bias": 0.5}, default=0.0)
    assert resolve(rule, PARAMS) == [0.0, 1.0, 0.5, 1.0, 0.0]
    with pytest.raises(
        ValueError, match=r"pattern 'kernel' matches no leaf.*fullmatch"
    ):
        resolve(where.by_path({"kernel": 1.0}, default=0.0), PARAMS)


def test_a_pattern_leaves_paths_that_contain_it_alone():
    params = dict.fromkeys(("a", "aa", "ab", "ba"), jnp.ones(1))
    assert resolve(where.by_path({"a": 1.0}, default=0.0), params) == [1, 0, 0, 0]


def test_a_pattern_that_matches_nothing_is_named():
    rule = where.by_path({".*kernel": 1.0, "hed/.*": 0.5}, default=0.0)
    message = r"pattern 'hed/\.\*' matches no leaf.* such as: body/bias, body/kernel"
    with pytest.raises(ValueError, match=message):
        wdjax.add_l2(0.1, where=rule).init(PARAMS)


def test_a_leaf_matched_twice_is_named_with_both_patterns():
    rule = where.by_path({".*kernel": 1.0, "head/.*": 0.5}, default=0.0)
    message = r"leaf 'head/kernel' is matched by 2 patterns, '.*kernel' and 'head/.*'"
    with pytest.raises(ValueError, match=message):
        wdjax.decay_weights(0.1, where=rule).init(PARAMS)


def test_a_leaf_matched_by_none_is_named_unless_there_is_a_default():
    with pytest.raises(ValueError, match=r"leaf 'body/bias' is matched by no pattern"):
        resolve(where.by_path({".*kernel": 1.0}), PARAMS)
    assert resolve(where.by_path({".*kernel": 1.0}, default=0), PARAMS) == RANKS


def test_by_path_refuses_bad_rules_at_once():
    with pytest.raises(ValueError, match="by_path got no patterns"):
        where.by_path({})
    with pytest.raises(ValueError, match=r"^by_path: '\(' is not a regular exp"):
        where.by_path({"(": 1.0})
    with pytest.raises(ValueError, match=r"multiplier of '\.\*' is -1; it must be fin"):
        where.by_path({".*": -1.0})
    with pytest.raises(ValueError, match=r"multiplier of '\.\*' is '0\.5'; it must be"):
        where.by_path({".*": "0.5"})
    with pytest.raises(ValueError, match="default is -1"):
        where.by_path({".*": 1.0}, default=-1)


@pytest.mark.parametrize(
    "tree",
    [
        {"body": 1.0, "head": {"bias": False, "kernel": True}, "norm": 0},
        {"body": True, "head": {"bias": 0.0, "kernel": np.array(1)}, "norm": False},
        {"body": np.float32(1), "head": {"bias": np.int8(0), "kernel": 1}, "norm": 0},
    ],
)
def test_a_prefix_tree_spreads_over_what_is_below(tree):
    assert [float(m) for m in resolve(tree, PARAMS)] == [1, 1, 0, 1, 0]


def test_a_callable_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"where is the callable .*give a rule"):
        wdjax.decay_weights(0.1, where=lambda p: p).init(PARAMS)


@pytest.mark.parametrize(
    "bad", ["1.0", "kernel", 1j, object()], ids=lambda bad: str(bad)[:8]
)
def test_a_multiplier_that_is_no_number_is_refused_by_leaf(bad):
    tree = {"body": 1.0, "head": {"bias": bad, "kernel": 1.0}, "norm": 1.0}
    with pytest.raises(ValueError, match="multiplier of leaf 'head/bias' is"):
        wdjax.add_l2(0.1, where=tree).init(PARAMS)


@pytest.mark.parametrize("bad", [-1, -(10**30), jnp.nan, np.inf], ids=repr)
def test_a_multiplier_must_be_a_finite_number_from_zero(bad):
    tree = {"body": 1.0, "head": {"bias": bad, "kernel": 1.0}, "norm": 1.0}
    with pytest.raises(ValueError, match="multiplier of leaf 'head/bias'"):
        wdjax.add_l2(0.1, where=tree).init(PARAMS)


def test_integer_leaves_are_refused_by_name_unless_left_alone():
    params = {"kernel": jnp.ones(2), "steps": jnp.array(3)}
    for make in (wdjax.add_l2, wdjax.decay_weights):
        with pytest.raises(ValueError, match=r"leaf 'steps' has dtype int64"):
            make(0.1).init(params)
        make(0.1, where={"kernel": 1.0, "steps": 0.0}).init(params)
    with pytest.raises(ValueError, match=r"leaf 'steps' has dtype int64"):
        wdjax.l2_penalty(params, 0.1)


def test_rules_are_plain_data():
    """What is callable, `inject_hyperparams` takes for a schedule."""
    rules = (where.matrices, where.except_norm_and_bias, where.by_path({".*": 1.0}))
    for rule in rules:
        assert not callable(rule)
        assert dataclasses.is_dataclass(rule)
        assert hash(rule) == hash(dataclasses.replace(rule))
    assert where.by_path({".*": 1.0}) == rules[2] == where.ByPath(((".*", 1.0),))
    assert hash(where.matrices) == hash(type(where.matrices)(2))


def test_paths_of_dicts_tuples_and_dataclasses():
    attention = Attention(query=jnp.ones(1), key=jnp.ones(1), value=jnp.ones(1))
    params = {"a": (jnp.ones(1), [jnp.ones(1)]), "attn": attention}
    assert paths(params) == ["a/0", "a/1/0", "attn/key", "attn/query", "attn/value"]


def test_a_box_is_stripped_and_a_field_called_value_is_not():
    params = {"layer": {"kernel": Box(jnp.ones((1, 1)))}}
    assert paths(params) == ["layer/kernel"]
    attention = Attention(
        query=Box(jnp.ones(1)), key=Box(jnp.ones(1)), value=jnp.ones(1)
    )
    assert paths({"attn": attention}) == ["attn/key", "attn/query", "attn/value"]


def test_describe_shows_leaf_shape_multiplier_and_rule():
    rule = where.by_path({".*/kernel": 1.0, "head/bias": 0.5}, default=0.0)
    assert where.describe(rule, {"head": PARAMS["head"]}).splitlines() == [
        "leaf         shape   multiplier  rule",
        "head/bias    (1,)    0.5         matches 'head/bias'",
        "head/kernel  (3, 1)  1.0         matches '.*/kernel'",
    ]
    assert "rank 1 < 2" in where.describe(where.matrices, PARAMS)
    assert where.describe(None, PARAMS).endswith("  1.0         all leaves")
    assert "'scale' is a bias or a gain" in where.describe(
        where.except_norm_and_bias, PARAMS
    )
    assert where.describe({"head": 0.25}, {"head": PARAMS["head"]}).count("0.25") == 2


def test_describe_needs_shapes_only():
    shapes = jax.eval_shape(lambda: PARAMS)
    assert where.describe(where.matrices, shapes) == where.describe(
        where.matrices, PARAMS
    )


def test_init_and_update_see_the_same_leaves():
    """A frozen leaf's gradient is None: rules must look at the parameters."""
    rule = where.by_path({"head/.*": 1.0, "body/.*": 0.5}, default=0.0)
    decay = wdjax.decay_weights(0.1, where=rule)
    updates = dict(
        jax.tree.map(jnp.zeros_like, PARAMS), body=dict.fromkeys(("bias", "kernel"))
    )
    updates, _ = decay.update(updates, decay.init(PARAMS), PARAMS)
    assert updates["body"] == {"bias": None, "kernel": None}
    chex.assert_trees_all_close(
        updates["head"], jax.tree.map(lambda p: -0.1 * p, PARAMS["head"])
    )


def test_update_refuses_what_init_would():
    decay = wdjax.decay_weights(0.1, where=where.by_path({"head/.*": 1.0}, default=0.0))
    other = {"body": PARAMS["body"]}
    with pytest.raises(ValueError, match=r"pattern 'head/\.\*' matches no leaf"):
        decay.update(other, decay.init(PARAMS), other)


RULES = {
    "by_path": where.by_path({"head/kernel": 1.0, "body/kernel": 0.5}, default=0.0),
    "matrices": where.matrices,
    "full tree": jax.tree.map(lambda p: float(p.ndim > 1), PARAMS),
    "prefix": {"body": 1.0, "head": 0.5, "norm": 0.0},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("labels", ["coarse", "fine"])
def test_partition_hides_leaves_and_nobody_misses_them(rule, labels):
    groups = {"body": "a", "head": "b", "norm": "b"}
    if labels == "fine":
        groups = {
            k: jax.tree.map(lambda _, g=g: g, PARAMS[k]) for k, g in groups.items()
        }
    decay = {g: wdjax.decay_weights(0.1, where=rule) for g in "ab"}
    both = optax.partition(decay, groups)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = both.update(zeros, both.init(PARAMS), PARAMS)
    alone = wdjax.decay_weights(0.1, where=rule)
    expected, _ = alone.update(zeros, alone.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal(updates, expected)


def test_partition_does_not_hide_a_pattern_that_nothing_could_match():
    rule = where.by_path({"head/kernel": 1.0, "haed/.*": 0.5}, default=0.0)
    decay = {"a": wdjax.decay_weights(0.1, where=rule), "b": optax.identity()}
    groups = {"body": "a", "head": "b", "norm": "b"}
    with pytest.raises(ValueError, match=r"pattern 'haed/\.\*' matches no leaf"):
        optax.partition(decay, groups).init(PARAMS)


def test_a_multiplier_may_be_traced():
    def total(multiplier):
        rule = where.by_path({".*kernel": multiplier}, default=0.0)
        return wdjax.l2_penalty(PARAMS, 0.2, where=rule)

    # ½ · 0.2 · m · (6 + 3 ones), by hand.
    np.testing.assert_allclose(jax.vmap(total)(jnp.array([0.0, 2.0])), [0.0, 1.8])
    np.testing.assert_allclose(jax.grad(total)(1.0), 0.9)


def test_flax_linen_parameters_have_their_paths():
    linen = pytest.importorskip("flax.linen", reason="needs Flax")
    model = linen.Sequential([linen.Dense(3), linen.LayerNorm(), linen.Dense(1)])
    params = model.init(jax.random.key(0), jnp.ones((1, 2)))["params"]
    rule = where.by_path({r"layers_\d/kernel": 1.0}, default=0.0)
    kernels = [float(p.ndim > 1) for p in jax.tree.leaves(params)]
    assert resolve(rule, params) == kernels == resolve(where.matrices, params)
    assert resolve(where.except_norm_and_bias, params) == kernels


def test_flax_nnx_state_has_its_paths_without_value():
    nnx = pytest.importorskip("flax.nnx", reason="needs Flax")
    model = nnx.Sequential(
        nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.LayerNorm(3, rngs=nnx.Rngs(0))
    )
    state = nnx.state(model, nnx.Param)
    assert paths(state) == [
        f"layers/{p}" for p in ("0/bias", "0/kernel", "1/bias", "1/scale")
    ]
    assert resolve(where.by_path({".*/kernel": 1.0}, default=0), state) == [0, 1, 0, 0]
    mask = jax.tree.map(lambda p: float(p.ndim > 1), state)
    decay = wdjax.decay_weights(0.1, where=mask)  # an NNX state as a tree
    updates, _ = decay.update(state, decay.init(state), state)
    factors = [1.0, 0.9, 1.0, 1.0]
    for u, p, f in zip(*map(jax.tree.leaves, (updates, state)), factors, strict=True):
        np.testing.assert_allclose(u, f * p, rtol=1e-6)  # float32 model


class Pair:
    """A node whose keys are plain values, as some libraries register theirs."""

    def __init__(self, left, right):
        self.children = (left, right)


jax.tree_util.register_pytree_with_keys(
    Pair,
    lambda pair: (tuple(zip(("left", 2), pair.children, strict=True)), None),
    lambda _, children: Pair(*children),
)


def test_a_key_that_is_a_plain_word_or_number_is_its_own_name():
    params = Pair(jnp.ones(2), jnp.ones((2, 2)))
    rule = wdjax.where.by_path({"left": 0.5, "2": 1.0})
    assert wdjax.where.resolve(rule, params) == [0.5, 1.0]
