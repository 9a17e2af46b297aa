"""The audit of drawn compositions, of our own transformations, and what it says."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import wdjax
from wdjax.inspect.auditing import audit

pytestmark = pytest.mark.slow  # many optimizers are audited

MASK = {"kernel": True, "bias": False}
CORES = {
    "sgd": optax.identity,
    "momentum": lambda: optax.trace(0.9),
    "adam": optax.scale_by_adam,
    "rmsprop": optax.scale_by_rms,
    "lion": optax.scale_by_lion,
}
PLACES = ("nowhere", "front", "preconditioner", "rate", "momentum", "both")
l2 = optax.add_decayed_weights
chain = optax.chain


def weights(dtype=jnp.float32):
    return {"kernel": jnp.ones((3, 2), dtype), "bias": jnp.ones(2, dtype)}


def multi_steps(inner, every=2):
    return optax.MultiSteps(inner, every).gradient_transformation()


WRAPPERS = {
    "masked": lambda inner: optax.masked(inner, MASK),
    "partition": lambda inner: optax.partition(
        {"one": inner, "other": optax.sgd(0.1)}, {"kernel": "one", "bias": "other"}
    ),
    "multi_steps": multi_steps,
    "apply_if_finite": lambda inner: optax.apply_if_finite(inner, 5),
    "inject": lambda inner: optax.inject_hyperparams(lambda one: chain(inner))(1.0),
    "clip": lambda inner: chain(optax.clip_by_global_norm(0.5), inner),
    "flatten": optax.flatten,
}
OUTER = {"masked", "partition"}


def composed(core, place, alpha, lam):
    """The optimizer, its kind, and δ or None."""
    base, rate = CORES[core](), optax.scale(-alpha)
    links, kind, delta = {
        "nowhere": ((base, rate), "none", None),
        "front": ((l2(lam), base, rate), "coupled", None),
        "preconditioner": ((base, l2(lam), rate), "decoupled", alpha * lam),
        "rate": ((base, rate, l2(-lam)), "decoupled", lam),
        "momentum": ((base, l2(lam), optax.trace(0.9), rate), "coupled", None),
        "both": ((l2(lam), base, l2(lam), rate), "coupled", None),
    }[place]
    if core == "sgd" and place in {"front", "both"}:  # linear, and without a state
        kind, delta = "decoupled", alpha * lam * (2 if place == "both" else 1)
    return chain(*links), kind, delta


@given(
    core=st.sampled_from(sorted(CORES)),
    place=st.sampled_from(PLACES),
    wrappers=st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=2, unique=True),
    alpha=st.floats(-4, 0).map(lambda e: 10**e),
    lam=st.floats(-4, -0.5).map(lambda e: 10**e),
)
@example(core="lion", place="both", wrappers=[], alpha=0.1, lam=1e-3)
@example(core="momentum", place="front", wrappers=["multi_steps"], alpha=0.1, lam=0.1)
@settings(
    max_examples=14,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
def test_a_composition_is_what_it_was_made_to_be(core, place, wrappers, alpha, lam):
    optimizer, kind, delta = composed(core, place, alpha, lam)
    for name in sorted(wrappers, key=lambda name: name in OUTER):
        optimizer = WRAPPERS[name](optimizer)
    found = audit(optimizer, weights())
    right = {kind}
    if kind == "coupled" and {"multi_steps", "clip"} & set(wrappers):
        right.add("unknown")  # what no finite difference tells may be left open
    for path, leaf in found.per_leaf.items():
        if path == "bias" and OUTER & set(wrappers):
            assert leaf.kind == "none"
            continue
        assert leaf.kind in right, str(found)
        if leaf.kind == "decoupled":
            np.testing.assert_allclose(leaf.decay_rate, delta, rtol=1e-6)
        if leaf.l2 is not None and place == "front" and core != "sgd":
            np.testing.assert_allclose(leaf.l2, lam, rtol=1e-3)


def behind(**kwargs):
    return lambda a, b: chain(optax.adam(a), wdjax.decay_weights(b, **kwargs))


def afterwards(**kwargs):
    return lambda a, b: chain(optax.adam(a), wdjax.decay_weights_after(b, **kwargs))


def proximally(**kwargs):
    return lambda a, b: chain(
        optax.adam(a), wdjax.decay_weights_proximally(b, **kwargs)
    )


def in_front(make=optax.adam, **kwargs):
    return lambda a, b: chain(wdjax.add_l2(b, **kwargs), make(a))


def last(link):
    return lambda a, b: chain(optax.adam(a), link)


pull, target, gate, rate = wdjax.pull, wdjax.target, wdjax.gate, wdjax.rate
POINT = {"kernel": 0.7 * np.ones((3, 2)), "bias": 0.7 * np.ones(2)}
TRUTH = {  # of the kernel, by the formulas of the docstrings
    "decoupled": {
        "adamw": wdjax.adamw,
        "lionw": wdjax.lionw,
        "muonw": wdjax.muonw,
        "sgdw of momentum": lambda a, b: wdjax.sgdw(a, b, momentum=0.9),
        "adams, whose δ follows gradients": wdjax.adams,
        "decay": behind(),
        "decay after": afterwards(),
        "p_norm(2)": behind(pull=pull.p_norm(2.0)),
        "elastic_net(0)": behind(pull=pull.elastic_net(0.0)),
        "sphere of no radius": behind(target=target.norm(0.0)),
        "early": lambda a, b: chain(
            optax.adam(a), wdjax.decay_weights(rate.early(b, 3))
        ),
        "late": lambda a, b: chain(optax.adam(a), wdjax.decay_weights(rate.late(b, 3))),
    },
    "coupled": {
        "adam_l2": wdjax.adam_l2,
        "lion_l2": wdjax.lion_l2,
        "sgd_l2 of momentum": lambda a, b: wdjax.sgd_l2(a, b, momentum=0.9),
    },
    "proximal": {
        "proximal soft threshold": proximally(pull=pull.l1),
    },
    "gated": {"cautious": behind(gate=gate.cautious())},
    "target": {
        "initial": behind(target=target.initial),
        "average": behind(target=target.average(0.9)),
        "towards": behind(target=target.towards(POINT)),
        "late, towards": lambda a, b: chain(
            optax.adam(a),
            wdjax.decay_weights(rate.late(b, 3), target=target.towards(POINT)),
        ),
        "L2 to the start, SGD": in_front(optax.sgd, target=target.initial),
        "L2 to the start, Adam": in_front(target=target.initial),
        "L2 to a point, SGD": in_front(optax.sgd, target=target.towards(POINT)),
        "L2 to a point, Adam": in_front(target=target.towards(POINT)),
        "L2 to a point, momentum": in_front(
            lambda a: optax.sgd(a, momentum=0.9), target=target.towards(POINT)
        ),
        "decay_sp": lambda a, b: chain(optax.adam(a), wdjax.decay_sp(b, b, new="bias")),
    },
    "trust": {
        "lamb": wdjax.lamb,
        "towards a sphere": behind(target=target.norm(1.0)),
        "constrain_norm": last(wdjax.constrain_norm(wdjax.bound.from_start())),
    },
    "norm": {
        "hold_norm": last(wdjax.hold_norm()),
        "hyperball": last(wdjax.hyperball(0.01)),
        "rotate_weights": last(wdjax.rotate_weights(0.01)),
    },
    "none": {
        "its own average": behind(target=target.average(0.0)),
        "multiplier of 0": last(
            wdjax.constrain_norm(wdjax.bound.from_start(), multiplier_rate=0.0)
        ),
    },
    "unknown": {
        "l1": behind(pull=pull.l1),
        "p_norm": behind(pull=pull.p_norm(1.5)),
        "p_norm, proximal": proximally(pull=pull.p_norm(3.0)),
        "elastic_net": behind(pull=pull.elastic_net(0.3)),
        "hyperbolic": behind(pull=pull.hyperbolic(1.0)),
        "exponential": behind(pull=pull.exponential(1.0)),
        "weight_elimination": behind(pull=pull.weight_elimination(1.0)),
        "L2 in Adam's first moment": wdjax.adam_l2_first_moment,
        "L2 in Adam's divisor": wdjax.adam_l2_second_moment,
        "L2 beside Adam's moments": wdjax.adam_l2_unbuffered,
        "L2 to a sphere, Adam": in_front(target=target.initial_norm(0.5)),
        "MultiSteps that hides a momentum": lambda a, b: multi_steps(
            wdjax.sgd_l2(a, b, momentum=0.9), 4
        ),
        "MultiSteps of as many as are measured": lambda a, b: multi_steps(
            wdjax.adamw(a, b), 8
        ),
        "L2 that starts late, Lion": lambda a, b: chain(
            l2(lambda t: b * (t >= 4)), optax.lion(a, weight_decay=0.0)
        ),
        "δ of either sign": lambda a, b: chain(
            optax.adam(a), l2(lambda t: b * (-1.0) ** t)
        ),
    },
}
CASES = [(kind, name) for kind, makes in TRUTH.items() for name in makes]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_ours(kind, name):
    found = audit(TRUTH[kind][name](0.05, 0.4), weights())
    right = {kind} if "hides" not in name else {"unknown", "coupled"}
    assert found.per_leaf["kernel"].kind in right, str(found)


@pytest.mark.parametrize(
    ("make", "kind"), [(proximally(), "proximal"), (afterwards(), "decoupled")]
)
def test_only_a_factory_tells_proximal_decay(make, kind):
    assert audit(make, weights(), weight_decay=0.4).kind == kind
    assert audit(make(0.1, 0.4), weights()).kind == "decoupled"


def test_tiny_proximal_decay_is_not_told_from_decay_after_the_step():
    for make in (proximally(), afterwards()):
        found = audit(make, weights(), weight_decay=1e-12)
        assert found.kind == "decoupled"
        assert not any("after" in reason for reason in found.reasons)


def test_a_multiple_of_a_convention_has_no_name():
    found = audit(lambda a, b: wdjax.sgds(a, b, momentum=0.9), weights())
    assert found.convention.factor == pytest.approx(10.0)
    assert found.convention.name == ""
    assert "δ_t = 10 · λ · α^1 · η_t^1" in str(found)
    named = audit(wdjax.adamw, weights())
    assert "δ_t = λ · α^1 · η_t^1 (OPTAX = PYTORCH)" in str(named)


def test_a_factory_without_schedules_or_decay():
    found = audit(lambda a, b: optax.adamw(float(a), weight_decay=b), weights())
    assert np.isnan(found.convention.schedule)
    assert "could not be told" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["convention"]["schedule"] is None
    ignores = audit(lambda a, b: optax.adamw(a, weight_decay=0.4), weights())
    assert ignores.without_decay == "decoupled"
    assert "the decay changes no update" in ignores.reasons
    assert ignores.convention.name == ""


def test_one_decaying_step_does_not_tell_how_schedules_are_followed():
    once = lambda a, b: chain(optax.adam(a), l2(lambda t: -b * (t == 0)))  # noqa: E731
    fit = audit(once, weights()).convention
    assert np.isnan(fit.schedule)
    # Of α and λ it is exact: four roundings of float64.
    assert fit.residual == pytest.approx(0.0, abs=1e-12)


def test_decay_that_ends_early():
    early = chain(optax.adam(0.1), wdjax.decay_weights(rate.early(0.02, 3)))
    assert "of 8 updates it decays in numbers 1 to 3 only" in str(audit(early))


@pytest.mark.parametrize(
    ("optimizer", "dtype", "sentence"),
    [
        (
            optax.apply_if_finite(optax.adamw(0.1, weight_decay=0.1), 5),
            jnp.float32,
            "a step refused for its gradient does not decay",
        ),
        (
            chain(optax.apply_if_finite(optax.adam(0.1), 5), l2(-0.01)),
            jnp.float32,
            "a step refused for its gradient still decays",
        ),
        (
            optax.adamw(0.01, weight_decay=0.01),
            jnp.bfloat16,
            (
                "bfloat16: alone, a decay of 0.0001 moves 0% of the weights; the rest "
                "is lost to rounding"
            ),
        ),
        (
            wdjax.precision.with_master_weights(wdjax.adamw(0.1, 0.1)),
            jnp.bfloat16,
            "updates of bfloat16 weights are float32",
        ),
        (
            multi_steps(optax.adamw(0.1, weight_decay=0.1), 3),
            jnp.float32,
            "it decays in one of 3 updates only, as under accumulation",
        ),
        (
            chain(optax.set_to_zero(), l2(-0.01)),
            jnp.float32,
            "no gradient moves these weights, but they decay",
        ),
    ],
)
def test_side_effects(optimizer, dtype, sentence):
    assert sentence in audit(optimizer, weights(dtype)).reasons


def raises(*_):
    raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        (raises, "RuntimeError: no such luck"),
        (optax.GradientTransformation(raises, raises), "RuntimeError: no such luck"),
        (lambda a, b: None, "the factory gives a NoneType"),
        (
            chain(optax.adam(0.1), optax.contrib.reduce_on_plateau()),
            "keyword-only argument: 'value'",
        ),
    ],
)
def test_what_cannot_be_run_is_unknown(optimizer, sentence):
    found = audit(optimizer, weights())
    assert (found.kind, found.per_leaf) == ("unknown", {})
    assert sentence in found.reasons[0]
    assert "extra_args" in found.reasons[1]


def test_updates_that_are_not_finite_are_unknown():
    found = audit(chain(optax.adamw(0.1), optax.scale(jnp.nan)), weights())
    assert found.reasons == ("the updates are not finite",)


@pytest.mark.parametrize(
    ("optimizer", "params", "sentence"),
    [
        (optax.adamw(0.1), {"n": jnp.ones(2, int)}, "leaf 'n' of type int64"),
        (optax.adamw(0.1), {}, "no leaf with entries"),
        (optax.adamw(0.1), {"empty": jnp.ones((0, 2))}, "no leaf with entries"),
    ],
)
def test_refused(optimizer, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        audit(optimizer, params)


def test_neither_an_optimizer_nor_a_function():
    with pytest.raises(ValueError, match="optimizer is a str; it must be"):
        inspect.unwrap(audit)("adamw")  # pyright: ignore[reportArgumentType]


def test_shapes_of_any_kind():
    params = {
        "scalar": jnp.ones(()),
        "one": jnp.ones((1, 1)),
        "empty": jnp.ones((0, 3)),
        "convolution": jnp.ones((2, 2, 3, 2), jnp.bfloat16),
        "number": 1.0,
        "nothing": None,
    }
    found = audit(optax.adamw(0.1, weight_decay=0.1), params)
    assert set(found.per_leaf) == {"scalar", "one", "convolution", "number"}
    assert {leaf.kind for leaf in found.per_leaf.values()} == {"decoupled"}
    found = audit(chain(l2(0.1), optax.adam(0.1)), params)
    assert {leaf.kind for leaf in found.per_leaf.values()} == {"coupled"}


def test_a_single_entry_shows_no_proportion():
    """All that one entry does lies along its change."""
    for pulled in (pull.p_norm(1.5), pull.weight_elimination(1.0)):
        found = audit(behind(pull=pulled)(0.1, 0.1), {"scalar": jnp.ones(())})
        assert found.kind == "unknown"


def test_without_x64():
    with jax.enable_x64(False):
        found = audit(wdjax.adamw, weights(), learning_rate=1e-3, weight_decay=0.1)
        coupled = audit(wdjax.adam_l2(1e-3, 0.1), weights())
    assert (found.kind, found.convention.name) == ("decoupled", "OPTAX = PYTORCH")
    assert coupled.kind == "coupled"


def test_text_and_data():
    params = {"a" * 100: jnp.ones((3, 2)), "b": {"c": jnp.ones(2)}}
    for optimizer in (wdjax.adamw, wdjax.adam_l2, raises, wdjax.lamb(0.1, 0.1)):
        found = audit(optimizer, params)
        assert all(len(line) <= 88 for line in str(found).splitlines())
        data = json.loads(json.dumps(found.to_dict()))
        assert set(data) == {
            "kind", "per_leaf", "decay_rate", "convention", "equivalents",
            "without_decay", "evidence", "reasons",
        }  # fmt: skip
        for leaf in data["per_leaf"].values():
            assert set(leaf) == {"kind", "decay_rate", "l2", "moved", "reasons"}
        if data["convention"] is not None:
            assert set(data["convention"]) == {
                "peak", "schedule", "decay", "residual", "factor", "name",
            }  # fmt: skip
