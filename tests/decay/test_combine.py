"""Refused combinations, and L2 beside weight decay on one leaf."""

import inspect
import re
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax.decay import combine, ledger
from wdjax.decay.target import Origin

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
ONLY_W = wdjax.where.by_path({"w": 1.0}, default=0.0)
ROW_0 = {"w": np.array([[1.0], [0.0]]), "b": np.array([1.0, 0.0])}
ONLY_B = wdjax.where.by_path({"b": 1.0}, default=0.0)
MAKERS = {
    "coupled": wdjax.add_l2,
    "decoupled": wdjax.decay_weights,
    "after": wdjax.decay_weights_after,
    "proximal": wdjax.decay_weights_proximally,
}
makers = pytest.mark.parametrize("place_", MAKERS)
PULLS = {
    "quadratic": wdjax.pull.quadratic,
    "l1": wdjax.pull.l1,
    "p_norm": wdjax.pull.p_norm(1.5),
    "elastic_net": wdjax.pull.elastic_net(0.5),
    "hyperbolic": wdjax.pull.hyperbolic(1.0),
    "exponential": wdjax.pull.exponential(1.0),
    "weight_elimination": wdjax.pull.weight_elimination(1.0),
}
WITHOUT_PROX = ["hyperbolic", "exponential", "weight_elimination"]
GATES = {
    "always": wdjax.gate.always,
    "cautious": wdjax.gate.cautious(),
    "stochastic": wdjax.gate.stochastic(0.5),
}


@dataclass(frozen=True)
class Sphere(Origin):
    """A target that says of itself that it aims along the ray."""

    radial: ClassVar[bool] = True


@dataclass(frozen=True)
class Huber:
    """A pull of the user's own, without a proximal point."""

    def value(self, x: Any) -> Any:
        return jnp.where(jnp.abs(x) < 1, x**2 / 2, jnp.abs(x) - 0.5)

    def gradient(self, x: Any) -> Any:
        return jnp.clip(x, -1, 1)


def refused(row):
    return re.escape(f"{row.combination}: {row.reason}")


@makers
@pytest.mark.parametrize("pull", PULLS)
def test_only_the_proximal_place_needs_a_proximal_point(place_, pull):
    make, rho = MAKERS[place_], PULLS[pull]
    if place_ == "proximal" and pull in WITHOUT_PROX:
        with pytest.raises(ValueError, match=refused(combine.REFUSED[0])):
            make(0.1, pull=rho)
    else:
        make(0.1, pull=rho).init(PARAMS)


def test_a_pull_of_ones_own_will_do_where_it_has_what_is_needed():
    u = jnp.zeros(2)
    decay = wdjax.decay_weights(0.5, pull=Huber())
    moved, _ = decay.update(u, decay.init(u), jnp.array([3.0, 0.5]))
    np.testing.assert_array_equal(moved, [-0.5, -0.25])
    with pytest.raises(ValueError, match=r"states no shrinkage.*Use decay_weights"):
        wdjax.decay_weights_proximally(0.5, pull=Huber())


@makers
@pytest.mark.parametrize("gate", GATES)
def test_only_a_cautious_gate_in_front_is_refused(place_, gate):
    make = MAKERS[place_]
    if (place_, gate) == ("coupled", "cautious"):
        with pytest.raises(ValueError, match=refused(combine.REFUSED[1])):
            make(0.1, gate=GATES[gate])
    else:
        make(0.1, gate=GATES[gate]).init(PARAMS)


@makers
@pytest.mark.parametrize("pull", [p for p in PULLS if p not in WITHOUT_PROX])
def test_a_target_norm_is_approached_by_the_quadratic_only(place_, pull):
    make, rho = MAKERS[place_], PULLS[pull]
    make(0.1, pull=rho, target=Origin())
    if pull == "quadratic":
        make(0.1, pull=rho, target=Sphere()).init(PARAMS)
    else:
        with pytest.raises(ValueError, match=refused(combine.REFUSED[2])):
            make(0.1, pull=rho, target=Sphere())


@pytest.mark.parametrize("make", [wdjax.with_l2, wdjax.with_weight_decay])
def test_the_wrappers_refuse_too(make):
    with pytest.raises(ValueError, match=refused(combine.REFUSED[2])):
        make(optax.sgd(0.1), 0.1, pull=wdjax.pull.l1, target=Sphere())


def test_every_refusal_names_a_remedy():
    for row in combine.REFUSED:
        assert "Use " in row.reason


KINDS = [
    ("pull", "l1", r"pull is 'l1'; give its object, not its name. Did you mean 'l1'\?"),
    ("pull", "huber", "Known: quadratic, l1, p_norm, elastic_net, hyperbolic, "),
    ("gate", "cautios", "Did you mean 'cautious'"),
    ("target", "orgin", "Did you mean 'origin'"),
    ("pull", wdjax.pull.L1, "pull is <class .*L1'>; give an instance of it, or one of"),
    ("gate", wdjax.gate.Cautious, "give an instance of it, or one of always, cautious"),
    ("target", Origin, "give an instance of it, or one of origin"),
    ("pull", wdjax.pull.p_norm, r"give what it returns: wdjax.pull.p_norm\(…\)"),
    ("gate", wdjax.gate.cautious, r"give what it returns: wdjax.gate.cautious\(…\)"),
    ("pull", abs, "pull is <built-in function abs>; give one of quadratic, l1, "),
    ("gate", lambda step, x: x, "give one of always, .*from wdjax.gate"),
    ("pull", lambda l1: l1, r"give one of quadratic, l1, .*from wdjax.pull"),
    ("pull", None, "pull is None; give one of quadratic"),
    ("pull", wdjax.gate.always, "pull is Always.*give one of quadratic"),
]


@pytest.mark.parametrize(("name", "value", "message"), KINDS)
def test_what_is_no_choice_is_refused_with_the_remedy(name, value, message):
    choices = {
        "pull": wdjax.pull.quadratic,
        "target": wdjax.target.origin,
        "gate": wdjax.gate.always,
        name: value,
    }
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(combine.axes)("decoupled", **choices, where=None)


def axes(pull, gate, where=None):
    return combine.Axes(pull, wdjax.target.origin, gate, where)


COMPLEX = {"z": jnp.ones(2, jnp.complex64), "w": jnp.ones(2)}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("pull", PULLS)
def test_complex_leaves_are_pulled_by_the_quadratic_and_always(pull, gate):
    chosen = axes(PULLS[pull], GATES[gate])
    combine.check_leaves(chosen, {"w": COMPLEX["w"]})
    if (pull, gate) == ("quadratic", "always"):
        combine.check_leaves(chosen, COMPLEX)
    else:
        with pytest.raises(ValueError, match=r"leaf 'z' is complex.*Use pull="):
            combine.check_leaves(chosen, COMPLEX)


def test_a_complex_leaf_that_is_left_alone_is_nobodys_business():
    l1, always = wdjax.pull.l1, wdjax.gate.always
    combine.check_leaves(axes(l1, always, {"z": 0.0, "w": 1.0}), COMPLEX)
    combine.check_leaves(axes(l1, always), dict(COMPLEX, z=optax.MaskedNode()))
    combine.check_leaves(axes(l1, always), {})
    with pytest.raises(ValueError, match="leaf 'z' is complex"):
        combine.check_leaves(axes(l1, always, {"z": 1.0, "w": 0.0}), COMPLEX)


def heard(optimizer, params=PARAMS):
    """The warnings of one ``init``, as text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.init(params)
    assert all(issubclass(w.category, wdjax.DecayWarning) for w in caught)
    return [str(w.message) for w in caught]


def decayed(**options):
    return wdjax.adamw(0.1, 0.01, **options)


BOTH = {
    "with_l2 around adamw": (lambda: wdjax.with_l2(decayed(), 0.1), "b, w"),
    "with_weight_decay around sgd_l2": (
        lambda: wdjax.with_weight_decay(wdjax.sgd_l2(0.1, 0.1), 0.01),
        "b, w",
    ),
    "one leaf in common": (
        lambda: wdjax.with_l2(decayed(where=ONLY_W), 0.1),
        "w",
    ),
    "another leaf in common": (
        lambda: wdjax.with_l2(decayed(), 0.1, where=ONLY_B),
        "b",
    ),
    "after": (
        lambda: wdjax.with_l2(
            optax.chain(optax.sgd(0.1), wdjax.decay_weights_after(0.1)), 0.1
        ),
        "b, w",
    ),
    "proximal": (
        lambda: wdjax.with_l2(
            optax.chain(optax.sgd(0.1), wdjax.decay_weights_proximally(0.1)), 0.1
        ),
        "b, w",
    ),
    "a schedule": (
        lambda: wdjax.with_l2(decayed(), optax.linear_schedule(0.0, 0.1, 5)),
        "b, w",
    ),
    "chain": (
        lambda: wdjax.with_l2(
            optax.chain(optax.clip(1.0), optax.chain(decayed())), 0.1
        ),
        "b, w",
    ),
    "MultiSteps": (
        lambda: wdjax.with_l2(
            optax.MultiSteps(decayed(), 2).gradient_transformation(), 0.1
        ),
        "b, w",
    ),
    "masked": (
        lambda: wdjax.with_l2(optax.masked(decayed(), {"w": True, "b": False}), 0.1),
        "w",
    ),
    "partition": (
        lambda: wdjax.with_l2(
            optax.partition(
                {"decayed": decayed(), "not": optax.sgd(0.1)},
                {"w": "decayed", "b": "not"},
            ),
            0.1,
        ),
        "w",
    ),
    "inside a partition": (
        lambda: optax.partition(
            {"both": wdjax.with_l2(decayed(), 0.1), "not": optax.sgd(0.1)},
            {"w": "not", "b": "both"},
        ),
        "b",
    ),
    "inject_hyperparams": (
        lambda: wdjax.with_l2(
            optax.inject_hyperparams(wdjax.adamw)(0.1, weight_decay=0.01), 0.1
        ),
        "b, w",
    ),
    "adamw of Optax": (lambda: wdjax.with_l2(optax.adamw(0.1), 0.1), "b, w"),
    "masked in Optax": (
        lambda: wdjax.with_l2(optax.adamw(0.1, mask={"w": True, "b": False}), 0.1),
        "w",
    ),
    "a decay of its own": (
        lambda: wdjax.with_l2(
            optax.contrib.prodigy(0.1, weight_decay=0.1), 0.1, where=ONLY_B
        ),
        "b",
    ),
    "injected into Optax": (
        lambda: wdjax.with_l2(
            optax.inject_hyperparams(optax.adamw)(0.1, weight_decay=0.01), 0.1
        ),
        "b, w",
    ),
    "scheduled in Optax": (
        lambda: wdjax.with_l2(
            optax.adamw(0.1, weight_decay=optax.linear_schedule(0.0, 0.1, 5)), 0.1
        ),
        "b, w",
    ),
    "MultiSteps around Optax": (
        lambda: wdjax.with_l2(
            optax.MultiSteps(optax.lion(0.1), 2).gradient_transformation(), 0.1
        ),
        "b, w",
    ),
    "L2 by hand, Optax's decay, and ours": (
        lambda: wdjax.with_weight_decay(
            optax.chain(wdjax.add_l2(0.1, where=ONLY_B), optax.adamw(0.1)), 0.1
        ),
        "b",
    ),
    "nested, Optax inside": (
        lambda: wdjax.with_weight_decay(
            wdjax.with_l2(optax.adamw(0.1), 0.1), 0.1, where=ONLY_B
        ),
        "b, w",
    ),
    "it asks for the loss": (
        lambda: wdjax.with_l2(optax.contrib.momo(0.1, weight_decay=0.1), 0.1),
        "b, w",
    ),
    "arrays that overlap": (
        lambda: wdjax.with_l2(
            decayed(where={"w": np.eye(2), "b": 0.0}), 0.1, where=ROW_0
        ),
        "w",
    ),
    "nested, both inside": (
        lambda: wdjax.with_weight_decay(wdjax.with_l2(decayed(), 0.1), 0.1),
        "b, w",
    ),
    "nested, the outer one completes it": (
        lambda: wdjax.with_l2(
            wdjax.with_weight_decay(optax.adam(0.1), 0.1, where=ONLY_B), 0.1
        ),
        "b",
    ),
    "nested, a leaf each": (
        lambda: wdjax.with_weight_decay(
            wdjax.with_l2(decayed(where=ONLY_W), 0.1), 0.1, where=ONLY_B
        ),
        "w, b",
    ),
}


@pytest.mark.parametrize(("make", "leaves"), BOTH.values(), ids=BOTH)
def test_l2_and_decay_on_one_leaf_are_warned_of_once(make, leaves):
    (message,) = (said for said in heard(make()) if said.startswith("L2"))
    assert message.startswith(f"L2 and weight decay both act on {leaves}. Drop one")


SILENT = {
    "disjoint": lambda: wdjax.with_l2(decayed(where=ONLY_W), 0.1, where=ONLY_B),
    "no l2": lambda: wdjax.with_l2(decayed(), 0.0),
    "no decay": lambda: wdjax.with_weight_decay(wdjax.sgd_l2(0.1, 0.1), jnp.array(0.0)),
    "l2 alone": lambda: wdjax.with_l2(optax.adam(0.1), 0.1),
    "decay alone": lambda: wdjax.with_weight_decay(optax.adam(0.1), 0.1),
    "decay twice": lambda: wdjax.with_weight_decay(decayed(), 0.1),
    "nested, disjoint": lambda: wdjax.with_weight_decay(
        wdjax.with_l2(optax.adam(0.1), 0.1, where=ONLY_W), 0.1, where=ONLY_B
    ),
    "arrays apart": lambda: wdjax.with_l2(
        decayed(where={"w": np.array([[0.0], [1.0]]), "b": np.array([0.0, 1.0])}),
        0.1,
        where=ROW_0,
    ),
    "arrays apart, scheduled": lambda: wdjax.with_l2(
        wdjax.adamw(
            optax.linear_schedule(0.1, 0.0, 5),
            0.01,
            where={"w": np.array([[0.0], [1.0]]), "b": np.array([0.0, 1.0])},
        ),
        0.1,
        where=ROW_0,
    ),
    "Optax without its decay": lambda: wdjax.with_l2(
        optax.adamw(0.1, weight_decay=0.0), 0.1
    ),
    "Optax, masked elsewhere": lambda: wdjax.with_l2(
        optax.adamw(0.1, mask={"w": True, "b": False}), 0.1, where=ONLY_B
    ),
    "Optax in a partition elsewhere": lambda: wdjax.with_l2(
        optax.partition(
            {"decayed": optax.adamw(0.1), "not": optax.sgd(0.1)},
            {"w": "decayed", "b": "not"},
        ),
        0.1,
        where=ONLY_B,
    ),
    "a trust ratio is no decay": lambda: wdjax.with_l2(optax.lamb(0.1), 0.1),
    "nobody asked": lambda: optax.chain(wdjax.add_l2(0.1), decayed()),
}


@pytest.mark.parametrize("make", SILENT.values(), ids=SILENT)
def test_there_is_nothing_to_warn_of(make):
    assert heard(make()) == []


def test_without_a_pull_nobody_looks_into_the_optimizer(monkeypatch):
    monkeypatch.setattr("wdjax.decay.foreign.decayed", lambda *_: pytest.fail("looked"))
    assert heard(wdjax.with_weight_decay(optax.adamw(0.1), 0.0)) == []
    assert heard(wdjax.with_l2(optax.adamw(0.1), 0.0)) == []


def test_a_second_init_is_heard_as_the_first():
    optimizer = wdjax.with_l2(decayed(), 0.1)
    assert heard(optimizer) == heard(optimizer) != []
    failing = wdjax.with_l2(decayed(), 0.1, strict=True)
    with pytest.raises(ValueError, match="both act on b, w"):
        failing.init(PARAMS)
    assert heard(optimizer) != []  # a failed one leaves nothing behind


def test_strict_refuses_wherever_it_stands():
    for make in (
        lambda: wdjax.with_l2(decayed(), 0.1, strict=True),
        lambda: wdjax.with_weight_decay(wdjax.adam_l2(0.1, 0.1), 0.1, strict=True),
        lambda: wdjax.with_weight_decay(
            wdjax.with_l2(decayed(), 0.1, strict=True), 0.1
        ),
        lambda: wdjax.with_weight_decay(
            wdjax.with_l2(decayed(), 0.1), 0.1, strict=True
        ),
    ):
        with pytest.raises(ValueError, match=r"both act on b, w. Drop one of the two"):
            make().init(PARAMS)
    disjoint = wdjax.with_l2(decayed(where=ONLY_W), 0.1, where=ONLY_B, strict=True)
    disjoint.init(PARAMS)


def test_a_long_list_of_leaves_is_cut():
    params = {f"w{i:02}": jnp.ones(1) for i in range(20)}
    (message,) = heard(wdjax.with_l2(decayed(), 0.1), params)
    assert "w06, w07 and 12 more. Drop" in message
    assert "w08" not in message


def test_a_traced_rate_is_taken_to_be_on():
    def init(l2):
        return wdjax.with_l2(decayed(), l2).init(PARAMS)

    with pytest.warns(wdjax.DecayWarning, match="both act on b, w"):
        jax.jit(init)(0.0)


@pytest.mark.parametrize("which", ["in front", "behind", "both"])
def test_a_traced_multiplier_is_taken_to_be_on(which):
    def init(multiplier):
        traced = {"w": multiplier, "b": 0.0}
        behind = traced if which != "in front" else None
        in_front = traced if which != "behind" else None
        return wdjax.with_l2(decayed(where=behind), 0.1, where=in_front).init(PARAMS)

    with pytest.warns(wdjax.DecayWarning, match="both act on w\\."):
        jax.jit(init)(0.0)


def test_a_rate_in_an_array_is_known_also_under_jit():
    """A comparison with 0 would be traced there."""
    on, off = jnp.array(0.1), jnp.array(0.0)
    with pytest.warns(wdjax.DecayWarning, match="both act on b, w"):
        jax.jit(wdjax.with_l2(decayed(), on).init)(PARAMS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jax.jit(wdjax.with_l2(decayed(), off).init)(PARAMS)
    assert caught == []


def test_checked_changes_no_update():
    both = wdjax.with_l2(wdjax.sgdw(0.5, 0.5), 0.25)
    with pytest.warns(wdjax.DecayWarning):
        state = both.init(PARAMS)
    u, _ = both.update({"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}, state, PARAMS)
    np.testing.assert_array_equal(u["w"], -0.5 * 1.25 - 0.25)
    np.testing.assert_array_equal(u["b"], -0.5 * 0.25 - 0.25)


def test_a_ledger_holds_who_pulls_which_leaves():
    optimizer = optax.chain(
        wdjax.add_l2(0.1, where=ONLY_B),
        optax.adam(0.1),
        wdjax.decay_weights(lambda t: 0.1 * t),
        wdjax.decay_weights_after(0.1, where=wdjax.where.matrices),
        wdjax.decay_weights_proximally(0.0),
    )
    with ledger.collect() as entries:
        optimizer.init(PARAMS)
    assert entries == [
        ledger.Entry("add_l2", {"b": 1.0}),
        ledger.Entry("decay_weights", {"b": 1.0, "w": 1.0}),
        ledger.Entry("decay_weights_after", {"w": 1.0}),
    ]


def test_a_ledger_hears_a_decay_that_is_not_ours():
    with ledger.collect() as entries, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wdjax.with_l2(optax.adamw(0.1), 0.1).init(PARAMS)
    assert [entry.caller for entry in entries] == ["add_l2", "weight_decay"]


def test_an_outer_ledger_hears_what_an_inner_one_hears():
    first, second = wdjax.add_l2(0.1), wdjax.decay_weights(0.1)
    with ledger.collect() as outer:
        first.init(PARAMS)
        with ledger.collect() as inner:
            second.init(PARAMS)
    assert [entry.caller for entry in outer] == ["add_l2", "decay_weights"]
    assert [entry.caller for entry in inner] == ["decay_weights"]


def test_a_closed_ledger_hears_nothing_also_after_an_error():
    with pytest.raises(RuntimeError), ledger.collect() as entries:
        raise RuntimeError
    wdjax.add_l2(0.1).init(PARAMS)
    assert entries == []
    with ledger.collect() as later:
        wdjax.add_l2(0.1).update(PARAMS, wdjax.add_l2(0.1).init(PARAMS), PARAMS)
    assert len(later) == 1  # init speaks, update does not


@pytest.mark.parametrize("number", [8, 9, 10])
def test_a_warning_names_eight_leaves_and_counts_the_rest(number):
    params = {f"b{i}": jnp.ones(1) for i in range(number)}
    more = f" and {number - 8} more" if number > 8 else ""
    with pytest.warns(wdjax.DecayWarning, match=f"act on b0, .*, b7{more}\\. Drop"):
        wdjax.with_l2(wdjax.adamw(0.1, 0.1), 0.1).init(params)


WRAPPERS = {
    "with_weight_decay": lambda o, **k: wdjax.with_weight_decay(o, 0.01, **k),
    "with_stable_weight_decay": lambda o, **k: wdjax.with_stable_weight_decay(
        o, 0.01, **k
    ),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_an_optimizer_that_decays_by_itself_is_not_decayed_again_in_silence(wrap):
    (said,) = heard(wrap(optax.adamw(0.1)))
    assert said.startswith("Two weight decays act on b, w: the optimizer inside has")
    with pytest.raises(ValueError, match="Two weight decays act on b, w"):
        wrap(optax.lion(0.1), strict=True).init(PARAMS)
    assert heard(wrap(optax.adamw(0.1, weight_decay=0.0), strict=True)) == []
    assert heard(wrap(optax.adam(0.1), strict=True)) == []
    apart = optax.adamw(0.1, mask={"w": True, "b": False})
    assert heard(wrap(apart, where=ONLY_B, strict=True)) == []


def test_a_held_norm_is_no_second_decay():
    held = optax.chain(optax.adamw(0.1), wdjax.hold_norm())
    assert heard(wdjax.with_l2(held, 0.0)) == []
