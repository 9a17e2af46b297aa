"""Layers: stacked along an axis, or numbered in the paths."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import where
from wdjax.decay.where import resolve

LAYERS, WIDTH = 3, 4
LAYER = {"bias": jnp.ones(WIDTH), "kernel": jnp.ones((WIDTH, WIDTH))}
STACK = jax.tree.map(lambda p: jnp.stack([p] * LAYERS), LAYER)
PARAMS = {"blocks": STACK, "head": LAYER}
#         blocks/bias, blocks/kernel, head/bias, head/kernel
NUMBERED = {"blocks": {str(i): LAYER for i in range(LAYERS)}, "head": LAYER}
DEPTH = r"blocks/(\d+)/.*"
FLAT = where.stacked(where.matrices, {"blocks/.*": 1})
HIDDEN = optax.MaskedNode()
HALF_HIDDEN = {"blocks": STACK | {"kernel": HIDDEN}, "head": LAYER}


def test_a_stacked_bias_is_no_matrix():
    assert resolve(where.matrices, PARAMS) == [1, 1, 0, 1]  # the trap
    assert resolve(FLAT, PARAMS) == [0, 1, 0, 1]


def test_other_rules_see_one_layer_too():
    twice = where.stacked(FLAT, {"blocks/.*": 1})
    assert resolve(twice, PARAMS) == [0, 0, 0, 1]  # (L, d, d) less two axes
    inner = where.complement(where.matrices)
    assert resolve(where.stacked(inner, {"blocks/.*": 1}), PARAMS) == [1, 0, 1, 0]
    by_name = where.stacked(where.by_path({".*/kernel": 0.5}, default=0), {".*": 1})
    assert resolve(by_name, PARAMS) == [0, 0.5, 0, 0.5]


def test_axes_that_count_layers_may_be_none_and_their_leaves_hidden():
    none = where.stacked(where.matrices, {"blocks/.*": 0})
    assert resolve(none, PARAMS) == [1, 1, 0, 1]
    assert resolve(FLAT, HALF_HIDDEN) == [0, 0, 1]


def test_a_stacked_rule_says_so():
    table = where.describe(FLAT, PARAMS).splitlines()
    assert table[1].endswith("rank 1 < 2, 1 stacked")
    assert table[3].endswith("rank 1 < 2")


@pytest.mark.parametrize("inside", [True, False], ids=["init inside", "init outside"])
def test_under_vmap_a_leaf_has_its_own_rank(inside):
    """Members along a vmapped axis need no `stacked`, wherever `init` was."""
    decay = wdjax.decay_weights(0.5, where=where.matrices)
    zeros = jax.tree.map(jnp.zeros_like, STACK)

    def update(zeros, params):
        state = decay.init(params) if inside else outside
        return decay.update(zeros, state, params)[0]

    outside = decay.init(STACK)
    u = jax.vmap(update)(zeros, STACK)
    np.testing.assert_array_equal(u["bias"], jnp.zeros((LAYERS, WIDTH)))
    np.testing.assert_array_equal(u["kernel"], -0.5 * STACK["kernel"])


def test_under_scan_a_leaf_has_its_own_rank():
    decay = wdjax.decay_weights(0.5, where=where.matrices)

    def step(_, layer):
        return None, decay.update(layer, decay.init(layer), layer)[0]

    u = jax.lax.scan(step, None, STACK)[1]
    np.testing.assert_array_equal(u["bias"], STACK["bias"])
    np.testing.assert_array_equal(u["kernel"], 0.5 * STACK["kernel"])


def test_what_is_stacked_is_checked():
    with pytest.raises(ValueError, match=r"'bloks/.*' matches no leaf"):
        resolve(where.stacked(where.matrices, {"bloks/.*": 1}), PARAMS)
    with pytest.raises(ValueError, match=r"leaf 'head/bias' of shape \(4,\) .* 2 lead"):
        resolve(where.stacked(where.matrices, {"head/.*": 2}), PARAMS)
    with pytest.raises(ValueError, match=r"'head/bias' is matched by 2 patterns"):
        resolve(where.stacked(where.matrices, {"head/.*": 1, ".*/bias": 1}), PARAMS)
    stacked = inspect.unwrap(where.stacked)  # without the types' own check
    for bad in (-1, 1.0, True, "1"):
        with pytest.raises(ValueError, match=r"leading axes for '\.\*'; give an int"):
            stacked(where.matrices, {".*": bad})
    for bad in ({"blocks": 1.0}, None, where.MinimumRank):
        with pytest.raises(ValueError, match=r"is no rule; .*wdjax\.where\.matrices"):
            stacked(bad, {".*": 1})


def test_stack_axes_counts_for_every_leaf():
    assert where.stack_axes({"blocks/.*": 1, "head/kernel": 2}, PARAMS) == [1, 1, 0, 2]
    assert where.stack_axes(None, PARAMS) == [0, 0, 0, 0]
    hidden = {"blocks": optax.MaskedNode(), "head": LAYER}
    assert where.stack_axes({"blocks/.*": 1}, hidden) == [0, 0]
    assert where.stack_axes({"blocks/.*": 1}, HALF_HIDDEN) == [1, 0, 0]


def test_layer_wise_multipliers_are_powers_by_depth():
    rule = where.layer_wise(DEPTH, 0.5, others=3.0)
    # bias and kernel of layers 0, 1, 2; then the head's.
    assert resolve(rule, NUMBERED) == [0.25, 0.25, 0.5, 0.5, 1, 1, 3, 3]
    assert resolve(where.layer_wise(DEPTH, 2.0), NUMBERED)[::2] == [4, 2, 1, 1]
    assert resolve(where.layer_wise(DEPTH, 0.0), NUMBERED)[::2] == [0, 0, 1, 1]


def test_layers_are_counted_in_the_order_of_their_numbers():
    """Not of their names ("10" < "2"), and without the gaps that activations leave."""
    params = {"layers": {str(i): jnp.ones(1) for i in (0, 2, 10, 11)}}
    numbers = [path.split("/")[1] for path in where.pulled(None, params)]
    found = resolve(where.layer_wise(r"layers/(\d+)", 0.5), params)
    assert dict(zip(numbers, found, strict=True)) == {
        "0": 0.125,
        "2": 0.25,
        "10": 0.5,
        "11": 1.0,
    }


def test_layers_along_an_axis_are_the_same_layers():
    """A stack is a list of layers, stacked."""
    grown = [jax.tree.map(lambda p, i=i: (i + 1.0) * p, LAYER) for i in range(LAYERS)]
    numbered = {"blocks": {str(i): layer for i, layer in enumerate(grown)}}
    stack = {"blocks": jax.tree.map(lambda *p: jnp.stack(p), *grown)}
    updates = []
    for params, rule in (
        (numbered, where.layer_wise(DEPTH, 0.9)),
        (stack, where.layer_wise_stacked("blocks/.*", 0.9)),
    ):
        decay = wdjax.decay_weights(0.1, where=rule)
        updates.append(decay.update(params, decay.init(params), params)[0]["blocks"])
    for i in range(LAYERS):
        by_hand = (1 - 0.1 * 0.9 ** (LAYERS - 1 - i)) * (i + 1.0)
        for name, leaf in updates[0][str(i)].items():
            np.testing.assert_allclose(leaf, by_hand, rtol=1e-15)
            np.testing.assert_allclose(updates[1][name][i], by_hand, rtol=1e-15)


def test_layers_along_an_axis_leave_the_others_alone():
    rule = where.layer_wise_stacked("blocks/kernel", 2, others=0.0)
    bias, kernel, *head = resolve(rule, PARAMS)
    assert [bias, *head] == [0, 0, 0]
    np.testing.assert_array_equal(kernel, np.reshape([4.0, 2.0, 1.0], (3, 1, 1)))


@pytest.mark.parametrize("factor", [0.5, jnp.array(0.5)], ids=repr)
def test_the_factor_of_a_stack_may_be_any_number_inside_jit(factor):
    decay = wdjax.decay_weights(1.0, where=where.layer_wise_stacked("w", factor))
    params = {"w": jnp.ones((3, 2))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    u, _ = jax.jit(decay.update)(zeros, decay.init(params), params)
    np.testing.assert_array_equal(u["w"][:, 0], [-0.25, -0.5, -1.0])


@pytest.mark.parametrize("factor", [3, jnp.array(3)], ids=repr)
def test_a_whole_factor_does_not_overflow_over_many_layers(factor):
    (powers,) = resolve(where.layer_wise_stacked("w", factor), {"w": jnp.ones(60)})
    assert powers[0] == pytest.approx(3**59, rel=1e-14)  # 3**59 > 2**63
    params = [jnp.ones(1)] * 60
    decay = wdjax.decay_weights(1.0, where=where.layer_wise(r"(\d+)", factor))
    u, _ = decay.update(params, decay.init(params), params)
    assert float(u[0][0]) == pytest.approx(1 - 3**59, rel=1e-14)


def test_powers_of_a_number_are_numbers():
    for factor in (0.5, 2):
        for power in resolve(where.layer_wise(DEPTH, factor), NUMBERED):
            assert type(power) is float


def test_a_stack_may_be_hidden_in_part():
    rule = where.layer_wise_stacked("blocks/.*", 0.5, others=0.0)
    bias, *head = resolve(rule, HALF_HIDDEN)
    np.testing.assert_array_equal(bias, np.reshape([0.25, 0.5, 1.0], (3, 1)))
    assert head == [0, 0]


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        (lambda f: where.layer_wise(DEPTH, f), NUMBERED),
        (lambda f: where.layer_wise_stacked("blocks/.*", f), PARAMS),
    ],
    ids=["numbered", "stacked"],
)
def test_the_factor_may_be_swept_and_differentiated(rule, params):
    def penalty(factor):
        return wdjax.l2_penalty(params, 2.0, where=rule(factor))

    # 20 ones in each layer and in the head: 20 (f² + f + 1 + 1).
    f = jnp.array([0.0, 0.5, 1.0, 3.0])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(penalty)))(f)
    np.testing.assert_allclose(values, 20 * (f**2 + f + 2), rtol=1e-14)
    np.testing.assert_allclose(slopes, 20 * (2 * f + 1), rtol=1e-14)


def test_describe_explains_layers():
    rows = where.describe(where.layer_wise(DEPTH, 0.5), NUMBERED).splitlines()
    assert rows[1].endswith("0.25        layer 0, 2 of 3 after it")
    assert rows[-1].endswith("1.0         in no layer")
    rows = where.describe(where.layer_wise_stacked("blocks/.*", 0.5), PARAMS)
    assert "[0.25 … 1] (3, 1)     3 layers along axis 0" in rows


@pytest.mark.parametrize(
    "labels",
    [
        {"blocks": {"0": "a", "1": "b", "2": "b"}, "head": "b"},
        {"blocks": {"0": "b", "1": "b", "2": "a"}, "head": "b"},
        {"blocks": "b", "head": "a"},
        jax.tree.map(lambda p: "ab"[p.ndim > 1], NUMBERED),
    ],
    ids=["first", "last", "head", "kernels"],
)
def test_hidden_layers_count(labels):
    rule = where.layer_wise(DEPTH, 0.5)
    decay = wdjax.decay_weights(0.1, where=rule)
    both = optax.partition({"a": decay, "b": decay}, labels)
    u, _ = both.update(NUMBERED, both.init(NUMBERED), NUMBERED)
    alone, _ = decay.update(NUMBERED, decay.init(NUMBERED), NUMBERED)
    for one, other in zip(*map(jax.tree.leaves, (u, alone)), strict=True):
        np.testing.assert_array_equal(one, other)


ANYWHERE = r".*/(\d+)/.*"


def test_what_lies_beside_numbered_layers_is_in_none_of_them():
    assert resolve(where.layer_wise(ANYWHERE, 0.5, others=3.0), NUMBERED) == [
        *(0.25, 0.25, 0.5, 0.5, 1, 1),
        *(3, 3),
    ]


def test_layers_that_are_hidden_leaf_by_leaf_count_wherever_they_lie():
    blocks = {**NUMBERED["blocks"], "2": jax.tree.map(lambda _: HIDDEN, LAYER)}
    found = resolve(where.layer_wise(ANYWHERE, 0.5), {"blocks": blocks})
    assert found == [0.25, 0.25, 0.5, 0.5]


def test_nothing_is_counted_where_no_layer_is_seen():
    params = {"deep": {"blocks": HIDDEN}, "flat": {"0": {"w": HIDDEN}}, "head": LAYER}
    assert resolve(where.layer_wise(ANYWHERE, 0.5, others=3.0), params) == [3, 3]


@pytest.mark.parametrize(
    ("pattern", "name"), [(r"(?:enc|dec/(\d+))/w", "enc"), (r"(\w+)/w", "stem")]
)
def test_a_hidden_subtree_that_is_no_numbered_layer_is_not_counted(pattern, name):
    params = {name: HIDDEN, "dec": {"0": {"w": jnp.ones(1)}}, "1": {"w": jnp.ones(1)}}
    with pytest.raises(ValueError, match=f"cannot count .* hidden below '{name}'"):
        resolve(where.layer_wise(pattern, 0.5), params)


@pytest.mark.parametrize("pattern", [ANYWHERE, r"(?:deep/blocks|flat)/(\d+)/.*"])
def test_layers_that_hide_uncounted_are_refused(pattern):
    params = {
        "deep": {"blocks": optax.MaskedNode()},
        "flat": {str(i): {"w": jnp.ones(1)} for i in range(2)},
    }
    with pytest.raises(ValueError, match=r"cannot count .* hidden below 'deep/blocks'"):
        resolve(where.layer_wise(pattern, 0.5), params)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: where.layer_wise(r"blocks/\d+", 0.9), "has 0 groups; it needs one"),
        (lambda: where.layer_wise(r"(b|c)/(\d+)", 0.9), "has 2 groups; it needs one"),
        (lambda: where.layer_wise(r"(", 0.9), "is not a regular expression"),
        (lambda: where.layer_wise_stacked(r"(", 0.9), "is not a regular expression"),
        (lambda: where.layer_wise(DEPTH, -0.9), "layer_wise: factor is -0.9"),
        (lambda: where.layer_wise(DEPTH, 0.9, others=np.nan), "others is nan"),
        (
            lambda: where.layer_wise_stacked(".*", np.inf),
            "^layer_wise_stacked: factor is inf",
        ),
        (
            lambda: inspect.unwrap(where.layer_wise)(DEPTH, abs),  # no types' own check
            "factor is <built-in function abs>; it must be a number, not a schedule",
        ),
    ],
)
def test_bad_layers_are_refused_at_once(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_bad_layers_are_refused_where_they_meet_parameters():
    with pytest.raises(ValueError, match=r"'block/\(\\\\d\+\)/.*' matches no leaf"):
        resolve(where.layer_wise(r"block/(\d+)/.*", 0.9), NUMBERED)
    with pytest.raises(ValueError, match="captures 'head' in 'head/bias', which is no"):
        resolve(where.layer_wise(r"(.*)/bias", 0.9), {"head": LAYER})
    with pytest.raises(ValueError, match="captures None in 'head/bias', which is no"):
        resolve(where.layer_wise(r"(?:blocks/(\d+)|head)/.*", 0.9), NUMBERED)
    with pytest.raises(ValueError, match=r"'block/.*' matches no leaf"):
        resolve(where.layer_wise_stacked("block/.*", 0.9), PARAMS)
    with pytest.raises(ValueError, match="do not share a first axis: blocks/bias, blo"):
        resolve(where.layer_wise_stacked(".*", 0.9), PARAMS)
    with pytest.raises(ValueError, match="do not share a first axis: scalar"):
        resolve(where.layer_wise_stacked(".*", 0.9), {"scalar": jnp.ones(())})
    with pytest.raises(
        ValueError, match=r"axis: blocks/bias, head/bias, head/kernel\."
    ):
        resolve(where.layer_wise_stacked(".*", 0.9), HALF_HIDDEN)


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        (where.layer_wise(DEPTH, 0.5), NUMBERED),
        (where.layer_wise_stacked("blocks/.*", 0.5), PARAMS),
        (FLAT, PARAMS),
    ],
    ids=["numbered", "along an axis", "stacked"],
)
def test_rules_of_layers_are_no_hyper_parameters(rule, params):
    injected = optax.inject_hyperparams(wdjax.decay_weights)(0.1, where=rule)
    state = injected.init(params)
    assert set(state.hyperparams) == {"decay_rate"}
    decay = wdjax.decay_weights(0.1, where=rule)
    u, _ = jax.jit(injected.update)(params, state, params)
    expected, _ = decay.update(params, decay.init(params), params)
    for one, other in zip(*map(jax.tree.leaves, (u, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-15)  # fusion


def test_stacks_share_their_first_axis_and_nothing_else():
    params = {"kernel": jnp.ones((3, 4, 5)), "bias": jnp.ones((3, 5))}
    rule = wdjax.where.layer_wise_stacked(".*", 0.5)
    bias, kernel = wdjax.where.resolve(rule, params)
    np.testing.assert_array_equal(np.ravel(kernel), [0.25, 0.5, 1.0])
    np.testing.assert_array_equal(np.ravel(bias), [0.25, 0.5, 1.0])
