"""The audit of lookahead, of clipped decay, and of decay that starts late."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.inspect.auditing import audit
from wdjax.inspect.auditing.kinds import CLIPPED
from wdjax.inspect.auditing.lookahead import (
    Synchronisation,
    slow_decay,
    synchronisation,
)

pytestmark = pytest.mark.slow  # many optimizers are audited

LATE = "none in the first 8 updates; this is with its counters at 200"
chain, l2 = optax.chain, optax.add_decayed_weights


def weights(dtype=jnp.float32):
    return {"kernel": jnp.ones((3, 2), dtype), "bias": jnp.ones(2, dtype)}


def adamw(**kwargs):
    return optax.adamw(0.05, weight_decay=0.4, **kwargs)


def multi_steps(inner, every):
    return optax.MultiSteps(inner, every).gradient_transformation()


@pytest.mark.parametrize(("delta", "k", "s"), [(0.02, 1, 0.3), (0.3, 5, 0.5)])
def test_slow_weights_decay_by_a_part_of_what_the_fast_do(delta, k, s):
    """Optax's lookahead itself, without gradients, over three periods."""
    optimizer = optax.lookahead(chain(optax.sgd(0.0), l2(-delta)), k, s)
    params = optax.LookaheadParams.init_synced(jnp.ones(2))
    state, found = optimizer.init(params), []
    for _ in range(3 * k):
        u, state = optimizer.update(jnp.zeros(2), state, params)
        params = optax.apply_updates(params, u)
        found.append(params.slow[0])
    kept = 1 - slow_decay(delta, Synchronisation(k, s))
    # A dozen operations in float64.
    np.testing.assert_allclose(found[k - 1 :: k], kept ** np.arange(1, 4), rtol=1e-14)


@pytest.mark.parametrize(("k", "s"), [(1, 0.3), (5, 0.5), (12, 1.0)])
def test_the_synchronisation_is_measured(k, s):
    found = synchronisation(optax.lookahead(adamw(), k, s), weights(), {})
    assert found is not None
    assert found.period == k
    # float32 weights; 1 + u − u loses three digits of them at most.
    assert found.part == pytest.approx(s, rel=1e-6)


@pytest.mark.parametrize("reset", [False, True])
def test_lookahead_is_audited_through_its_fast_weights(reset):
    mask = {"kernel": True, "bias": False}
    optimizer = chain(
        optax.clip(1.0), optax.lookahead(adamw(mask=mask), 3, 0.5, reset_state=reset)
    )
    params = optax.LookaheadParams(fast=weights(), slow=weights())
    for given in (weights(), params):
        found = audit(optimizer, given)
        assert found.kind == "target"
        assert found.reasons[0] == (
            "lookahead: every 3 updates the slow weights go 0.5 of the way to the "
            "fast, and the fast are put there"
        )
        assert found.reasons[1] == "the fast alone, between: decoupled"
        assert found.reasons[-1] == (  # 0.5 (1 − 0.98³)
            "so at δ = 0.02 the slow weights decay by s(1 − (1 − δ)^k) = 0.0294 in 3 "
            "updates"
        )
        assert found.per_leaf["kernel"].decay_rate == pytest.approx(0.02)
        assert found.per_leaf["bias"].decay_rate is None
        assert "the fast alone, between: none" in found.per_leaf["bias"].reasons


def test_a_factory_of_lookaheads_has_the_convention_of_what_is_inside():
    found = audit(
        lambda a, b: optax.lookahead(optax.adamw(a, weight_decay=b), 3, 0.5), weights()
    )
    assert (found.kind, found.convention.name) == ("target", "OPTAX = PYTORCH")


def test_what_lookahead_does_to_other_kinds_is_not_put_in_numbers():
    inside = chain(l2(0.1), optax.adam(0.1))
    found = audit(optax.lookahead(inside, 3, 0.5), weights())
    assert found.reasons[1] == "the fast alone, between: coupled"
    assert found.per_leaf["kernel"].l2 == pytest.approx(0.1, rel=1e-6)
    assert not any("slow weights decay" in reason for reason in found.reasons)


def test_slow_weights_that_are_never_seen_to_move_are_unknown():
    found = audit(optax.lookahead(adamw(), 101, 0.5), weights())
    assert found.kind == "unknown"
    assert found.reasons[0].startswith("in 100 updates, lookahead's slow weights")


@pytest.mark.parametrize(
    "optimizer",
    [
        chain(adamw(), optax.clip(1.0)),
        chain(adamw(), optax.clip_by_global_norm(1e6)),
        chain(optax.adamw(1e-3, weight_decay=0.1), optax.clip_by_block_rms(1.0)),
        chain(l2(0.1), optax.sgd(1e-3), optax.clip(1.0)),
        chain(optax.adam(0.1), l2(0.01), optax.clip(1.0)),
        multi_steps(chain(adamw(), optax.clip(1.0)), 3),
    ],
)
def test_decay_in_front_of_a_clip_is_clipped(optimizer):
    """Of weights like those that are measured it is decoupled, or growing."""
    found = audit(optimizer, weights())
    assert found.kind in {"decoupled", "growing"}
    for leaf in found.per_leaf.values():
        assert any(reason.startswith(CLIPPED) for reason in leaf.reasons)
    assert any(reason.startswith(CLIPPED) for reason in found.reasons)


def test_a_clip_that_clips_every_step_is_no_fraction():
    for clip in (optax.clip(1e-3), optax.clip_by_global_norm(1e-3)):
        assert audit(chain(adamw(), clip), weights()).kind in {"unknown", "trust"}


@pytest.mark.parametrize(
    "optimizer",
    [
        chain(optax.clip(0.1), adamw()),
        chain(optax.adam(0.1), optax.clip(1e-3), l2(-0.01)),
    ],
)
def test_decay_behind_a_clip_is_not(optimizer):
    assert CLIPPED not in str(audit(optimizer, weights()))


def test_proximal_decay_in_front_of_a_clip_is_clipped():
    def factory(learning_rate, weight_decay):
        decay = wdjax.decay_weights_proximally(weight_decay)
        return chain(optax.adam(learning_rate), decay, optax.clip(10.0))

    found = audit(factory, weights())
    assert found.kind == "proximal"
    assert any(reason.startswith(CLIPPED) for reason in found.reasons)


def test_decay_that_starts_late_is_found():
    late = chain(optax.adam(0.1), wdjax.decay_weights(wdjax.rate.late(0.02, 8)))
    found = audit(late, weights(jnp.bfloat16))
    assert (found.kind, found.reasons[0]) == ("decoupled", LATE)
    # Nothing is said of the first update, in which nothing decays.
    assert len(found.reasons) == 2
    np.testing.assert_allclose(found.decay_rate, 0.02, rtol=1e-12)
    # Counters that come round are left alone: mini-steps stay mini-steps.
    assert audit(multi_steps(late, 2), weights()).kind == "decoupled"


def test_a_late_decay_follows_its_schedule():
    def factory(learning_rate, weight_decay):
        def late(t):
            return weight_decay * (t >= 500)

        return optax.adamw(learning_rate, weight_decay=late)

    found = audit(factory, weights())
    assert found.kind == "decoupled"
    assert found.convention.name == "OPTAX = PYTORCH"


def test_decay_that_starts_later_than_anybody_looks_is_none():
    late = chain(optax.adam(0.1), wdjax.decay_weights(wdjax.rate.late(0.02, 10**6)))
    assert audit(late, weights()).reasons == (
        "no change of the weights changes any of 8 updates",
    )


def test_a_leaf_that_starts_late_beside_another_is_unknown():
    later = adamw(mask={"kernel": True, "bias": False})
    bias = wdjax.decay_weights(
        wdjax.rate.late(0.02, 8), where={"kernel": False, "bias": True}
    )
    found = audit(chain(later, bias), weights())
    assert found.per_leaf["kernel"].kind == "decoupled"
    assert found.per_leaf["bias"].kind == "unknown"
    assert "bias is left alone at first, but not later" in found.reasons


def test_a_rate_that_changes_later_is_told():
    halved = optax.piecewise_constant_schedule(0.05, {1_000: 0.5})
    constant = multi_steps(optax.adamw(0.05, weight_decay=0.4), 3)
    sentence = "with its counters at 200, 1000, 10000, 100000: δ_t = 0.02, 0.01, 0.01"
    assert sentence in str(audit(optax.adamw(halved, weight_decay=0.4), weights()))
    assert "counters" not in str(audit(constant, weights()))


def test_what_the_first_update_does_is_not_told_where_it_does_not_decay():
    accumulated = multi_steps(optax.apply_if_finite(adamw(), 5), 2)
    text = str(audit(accumulated, weights(jnp.bfloat16)))
    assert "refused" not in text
    assert "lost to rounding" not in text


def test_no_lookahead_is_seen_where_there_is_none():
    """An optimizer of pairs, which are a tree as any other."""
    pairs = optax.LookaheadParams(fast=jnp.ones(3), slow=jnp.ones(3))
    found = audit(adamw(), pairs)
    assert {leaf.kind for leaf in found.per_leaf.values()} == {"decoupled"}
    assert len(found.per_leaf) == len(jax.tree.leaves(pairs))
