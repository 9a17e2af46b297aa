"""What the doctor finds in leaves and in optimizers, each beside its neighbour."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.inspect.examined import NETWORK, examined, leaves_of, names, shape


def test_gains_biases_embeddings_and_vectors_are_told_apart():
    assert leaves_of("norms-and-biases-decay", NETWORK) == (
        "block/attention/query/bias",
        "block/bias",
        "block/norm/scale",
    )
    assert leaves_of("embeddings-decay", NETWORK) == ("embed/embedding",)
    assert leaves_of("vectors-decay", NETWORK) == ("temperature",)
    assert leaves_of("matrices-missed", NETWORK) is None


def test_a_rule_by_name_leaves_the_gains_out_and_one_by_rank_the_vectors():
    by_name = wdjax.where.except_norm_and_bias
    found = names(NETWORK, where=by_name)
    assert found == {"embeddings-decay", "vectors-decay"}
    by_rank = wdjax.where.matrices
    assert leaves_of("stacked-vectors-decay", NETWORK, where=by_rank) == (
        "block/attention/query/bias",
    )
    assert leaves_of("norms-and-biases-decay", NETWORK, where=by_rank) is None
    assert leaves_of("vectors-decay", NETWORK, where=by_rank) is None
    wanted = wdjax.where.by_path({r"block/(.*/)?kernel": 1.0}, default=0.0)
    assert names(NETWORK, where=wanted) == set()


def test_l2_of_gains_is_found_too():
    found = names(NETWORK, weight_decay=0.0, l2=0.1, base="sgd")
    assert "norms-and-biases-decay" in found


def test_the_rank_rule_is_fooled_by_stacked_layers_until_it_is_told():
    scanned = {"blocks": {"kernel": shape(6, 4, 4), "bias": shape(6, 4)}}
    rule = wdjax.where.matrices
    assert leaves_of("stacked-vectors-decay", scanned, where=rule) == ("blocks/bias",)
    told = wdjax.where.stacked(rule, {"blocks/.*": 1})
    assert names(scanned, where=told) == set()


def test_a_stack_of_unnamed_vectors_is_seen_once_the_rule_tells_of_it():
    scanned = {"blocks": {"kernel": shape(6, 4, 4), "shift": shape(6, 4)}}
    everything = wdjax.where.by_path({".*": 1.0})
    told = wdjax.where.stacked(everything, {"blocks/.*": 1})
    assert leaves_of("vectors-decay", scanned, where=told) == ("blocks/shift",)
    assert leaves_of("vectors-decay", scanned, where=everything) is None


def test_rank_says_nothing_where_there_is_no_matrix():
    assert names({"w": shape(5)}) == set()
    assert leaves_of("vectors-decay", {"w": shape(5), "v": shape(2, 2)}) == ("w",)


@pytest.mark.parametrize(
    "path",
    [
        "embedding",
        "tok_emb",
        "Embed_0/embedding",
        "wte/weight",
        "wpe",
        "embed_tokens/weight",
        "pos_embed",
        "position",
        "cls_token",
        "cls",
        "embeddings_1",
    ],
)
def test_embeddings_are_known_by_their_names(path):
    params = {"dense": {"kernel": shape(2, 2)}, path: shape(2, 2)}
    assert leaves_of("embeddings-decay", params) == (path,)
    rest = wdjax.where.by_path({"dense/kernel": 1.0}, default=0.0)
    assert names(params, where=rest) == set()


@pytest.mark.parametrize(
    "path", ["embed/kernel", "patch_embed/weight", "vision_patch_embedding", "member/w"]
)
def test_layers_with_an_embedding_s_name_are_none(path):
    assert leaves_of("embeddings-decay", {path: shape(2, 2)}) is None


def test_a_bias_in_an_embedding_is_a_bias():
    params = {"embed": {"bias": shape(2), "embedding": shape(3, 2)}}
    assert leaves_of("norms-and-biases-decay", params) == ("embed/bias",)
    assert leaves_of("embeddings-decay", params) == ("embed/embedding",)


def test_matrices_that_a_rule_misses_are_named():
    params = {"a": {"kernel": shape(2, 2)}, "b": {"kernel": shape(2, 2)}}
    tree = {"a": {"kernel": 1.0}, "b": {"kernel": 0.0}}
    assert leaves_of("matrices-missed", params, where=tree) == ("b/kernel",)
    by_default = wdjax.where.by_path({"a/.*": 1.0}, default=0.0)
    assert leaves_of("matrices-missed", params, where=by_default) == ("b/kernel",)
    by_name = wdjax.where.by_path({"a/.*": 1.0, "b/.*": 0.0})
    assert names(params, where=by_name) == set()
    assert names(params) == set()


def test_what_is_left_out_and_is_no_matrix_is_not_missed():
    params = NETWORK | {"count": shape(2, 2, dtype=jnp.int32)}
    wanted = wdjax.where.by_path({r"block/(.*/)?kernel": 1.0}, default=0.0)
    assert names(params, where=wanted) == set()


def test_that_nothing_is_pulled_is_found():
    assert names(where=0.0) == {"nothing-decays"}
    assert names(weight_decay=0.0) == {"nothing-decays"}
    assert "nothing-decays" not in names()


def test_what_init_would_refuse_is_an_error_in_its_words():
    nowhere = wdjax.where.by_path({"conv/.*": 1.0}, default=0.0)
    (found,) = examined(where=nowhere).findings
    assert (found.severity, found.name) == ("error", "init-refused")
    assert "pattern 'conv/.*' matches no leaf" in found.what
    integers = {"kernel": shape(2, 2, dtype=jnp.int32)}
    (found,) = examined(integers).findings
    assert found.name == "init-refused"
    assert "has dtype int32 and cannot be decayed" in found.what
    (found,) = examined({"w": shape(3)}, where=wdjax.where.matrices).findings
    assert "matrices pulls none of the leaves" in found.what
    assert names(wdjax.testing.small_network().params) == {"norms-and-biases-decay"}


def test_frozen_leaves_that_decay_are_found_by_what_is_trained():
    params = {"body": {"kernel": shape(2, 2)}, "head": {"kernel": shape(2, 2)}}
    head = wdjax.where.by_path({"head/.*": 1.0, "body/.*": 0.0})
    assert leaves_of("frozen-leaves-decay", params, trainable=head) == ("body/kernel",)
    both = {"trainable": head, "where": head}
    assert leaves_of("frozen-leaves-decay", params, **both) is None
    assert leaves_of("frozen-leaves-decay", params) is None


def test_l2_and_decay_on_one_leaf_are_found():
    assert leaves_of("l2-and-decay", l2=0.1, base="sgd") == ("dense/kernel",)
    assert leaves_of("l2-and-decay") is None
    assert leaves_of("l2-and-decay", weight_decay=0.0, l2=0.1, base="sgd") is None


def test_unequal_multipliers_are_noted():
    params = {"a": {"kernel": shape(2, 2)}, "b": {"kernel": shape(2, 2)}}
    weaker = {"a": {"kernel": 1.0}, "b": {"kernel": 0.5}}
    assert leaves_of("multipliers-differ", params, where=weaker) == ("b/kernel",)
    where = {"a": {"kernel": 1.0}, "b": {"kernel": np.array([[0.5], [2.0]])}}
    assert leaves_of("multipliers-differ", params, where=where) == ("b/kernel",)
    (found,) = examined(params, where=where).findings
    assert "from 1 to 2" in found.what
    assert leaves_of("multipliers-differ", params) is None


PAIR = {"body": {"kernel": shape(2, 2)}, "head": {"kernel": shape(2, 2)}}
HEAD = wdjax.where.by_path({"head/.*": 1.0, "body/.*": 0.0})
BODY = wdjax.where.by_path({"body/.*": 1.0, "head/.*": 0.0})
IS_BODY = {"body": True, "head": False}


def pulled(optimizer, **changes):
    return examined(PAIR, optimizer=optimizer, **changes)


def test_an_optimizer_says_itself_which_leaves_it_pulls():
    assert pulled(wdjax.adamw(1e-2, 0.5, where=HEAD)).pulled == ("head/kernel",)
    assert pulled(wdjax.adam_l2(1e-2, 0.5, where=BODY)).pulled == ("body/kernel",)
    assert pulled(optax.adamw(1e-2, mask=IS_BODY)).pulled == ("body/kernel",)
    found = {f.name for f in pulled(optax.adam(1e-2)).findings}
    assert found == {"nothing-decays"}


def test_an_optimizer_is_heard_the_second_time_too():
    optimizer = wdjax.adamw(1e-2, 0.5, where=HEAD)
    assert pulled(optimizer) == pulled(optimizer)
    assert pulled(optimizer).pulled == ("head/kernel",)


def test_l2_and_decay_in_one_optimizer_are_found_without_a_warning():
    for inner in (wdjax.adamw(1e-2, 0.5), optax.adamw(1e-2)):
        found = pulled(wdjax.with_l2(inner, 0.1), l2=0.1).findings
        (both,) = (f for f in found if f.name == "l2-and-decay")
        assert both.leaves == ("body/kernel", "head/kernel")
    apart = wdjax.with_l2(wdjax.adamw(1e-2, 0.5, where=HEAD), 0.1, where=BODY)
    assert "l2-and-decay" not in {f.name for f in pulled(apart, l2=0.1).findings}
    by_hand = optax.chain(wdjax.add_l2(0.1), optax.adamw(1e-2))
    assert "l2-and-decay" in {f.name for f in pulled(by_hand, l2=0.1).findings}


def test_two_decays_on_one_leaf_are_found():
    twice = wdjax.with_weight_decay(wdjax.adamw(1e-2, 0.5, where=HEAD), 0.005)
    (found,) = pulled(twice).findings
    assert (found.name, found.leaves) == ("decays-twice", ("head/kernel",))
    shared = wdjax.with_weight_decay(
        wdjax.adamw(1e-2, 0.5, where=HEAD), 0.005, where=BODY
    )
    assert pulled(shared).findings == ()
    around = wdjax.with_weight_decay(optax.adamw(1e-2, weight_decay=0.5), 0.005)
    (found,) = (f for f in pulled(around).findings if f.name == "decays-twice")
    assert found.leaves == ("body/kernel", "head/kernel")
    foreign = optax.adamw(1e-2, mask=IS_BODY)  # of which no more is known than a name
    beside = wdjax.with_l2(wdjax.with_weight_decay(foreign, 0.005, where=HEAD), 0.1)
    assert "decays-twice" not in {f.name for f in pulled(beside, l2=0.1).findings}


def test_a_norm_that_is_held_is_no_decay():
    held = optax.chain(wdjax.adamw(1e-2, 0.5, where=HEAD), wdjax.hold_norm(where=HEAD))
    assert pulled(held).findings == pulled(wdjax.adamw(1e-2, 0.5, where=HEAD)).findings
    assert pulled(wdjax.hold_norm()).pulled == ()


def test_a_freeze_in_front_of_decay_is_found():
    frozen = optax.chain(optax.freeze(IS_BODY), optax.adamw(1e-2))
    found = [f for f in pulled(frozen).findings if f.name == "frozen-leaves-decay"]
    assert found[0].leaves == ("body/kernel",)
    for inner in (optax.adamw(1e-2), wdjax.adamw(1e-2, 0.5)):
        behind = optax.chain(inner, optax.freeze(IS_BODY))
        assert "frozen-leaves-decay" not in {f.name for f in pulled(behind).findings}
        assert pulled(behind).pulled == ("head/kernel",)
    labels = {"body": "frozen", "head": "trained"}
    parted = optax.partition(
        {"frozen": optax.set_to_zero(), "trained": optax.adamw(1e-2)}, labels
    )
    assert "frozen-leaves-decay" not in {f.name for f in pulled(parted).findings}
    assert pulled(parted).pulled == ("head/kernel",)


def test_a_wrapper_that_keeps_precision_ends_the_no_op():
    narrow = jax.tree.map(lambda p: shape(*p.shape, dtype=jnp.bfloat16), PAIR)
    plain = wdjax.adamw(1e-3, 0.1)
    rates = {"learning_rate": 1e-3, "weight_decay": 0.1}
    found = names(narrow, optimizer=plain, **rates)
    assert "no-op-in-dtype" in found
    for wrap in (
        wdjax.precision.with_master_weights,
        wdjax.precision.with_error_feedback,
    ):
        assert "no-op-in-dtype" not in names(narrow, optimizer=wrap(plain), **rates)


def test_a_rate_that_was_not_given_is_asked_for():
    none = {"weight_decay": 0.0}
    assert "rates-missing" in names(PAIR, optimizer=wdjax.adamw(1e-2, 0.5), **none)
    assert "rates-missing" not in names(PAIR, optimizer=wdjax.adamw(1e-2, 0.5))
    assert "rates-missing" not in names(PAIR, optimizer=optax.adam(1e-2), **none)


def test_what_an_optimizer_refuses_is_an_error():
    rule = wdjax.where.by_path({"nowhere": 1.0}, default=0.0)
    (found,) = pulled(wdjax.adamw(1e-2, 0.5, where=rule)).findings
    assert found.name == "init-refused"
    assert "matches no leaf" in found.what


def test_no_array_is_made():
    def init(params):
        return jax.tree.map(lambda p: jnp.zeros((10**9, *p.shape)), params)

    huge = optax.GradientTransformation(init, lambda g, s, p: (g, s))
    assert "nothing-decays" in names(PAIR, optimizer=huge)
