"""The table is complete, and its labels hold by arithmetic that knows no audit."""

import functools
import inspect
import typing
from typing import Any

import chex
import numpy as np
import optax
import optax.contrib
import pytest

from tests.inspect.behaviours import BEHAVIOURS, Kind
from tests.inspect.paths import (
    ALPHA,
    ALPHA_SMALL,
    ETA,
    LAM,
    ROWS,
    SMALL_LOSS,
    arguments,
    differences,
    elsewhere,
    flat,
    gradients,
    path,
    rows,
    scheduled,
    thetas,
    update,
    with_l2,
)
from tests.inspect.traps import TRAPS

OPTAX = {row.name: row for row in BEHAVIOURS}
PIECE = "a link of a chain: no optimizer by itself"
WRAPPER = "a wrapper that passes on the decay of what it is given; see the traps"
NO_TRANSFORMATION = "without an annotation, and returns no transformation"
EXCLUDED = {
    "optax": {
        PIECE: "adaptive_grad_clip add_decayed_weights add_noise apply_every "
        "centralize clip clip_by_block_rms clip_by_global_norm ema freeze identity "
        "keep_params_nonnegative normalize_by_update_norm scale scale_by_adadelta "
        "scale_by_adam scale_by_adamax scale_by_adan scale_by_amsgrad "
        "scale_by_backtracking_linesearch scale_by_belief "
        "scale_by_distance_over_gradients scale_by_factored_rms scale_by_lbfgs "
        "scale_by_learning_rate scale_by_lion scale_by_novograd "
        "scale_by_optimistic_gradient scale_by_param_block_norm "
        "scale_by_param_block_rms scale_by_polyak scale_by_radam scale_by_rms "
        "scale_by_rprop scale_by_rss scale_by_schedule scale_by_sign scale_by_sm3 "
        "scale_by_stddev scale_by_trust_ratio scale_by_yogi scale_by_zoom_linesearch "
        "set_to_zero trace zero_nans",
        WRAPPER: "apply_if_finite chain conditionally_mask conditionally_transform "
        "flatten inject_hyperparams inject_stateful_hyperparams lookahead masked "
        "multi_transform named_chain partition selective_transform stateless "
        "stateless_with_tree_map with_extra_args_support",
        "it watches, and changes no update": "measure_with_ema monitor snapshot",
        NO_TRANSFORMATION: "bias_correction matrix_inverse_pth_root "
        "sigmoid_binary_cross_entropy update_infinity_moment update_moment "
        "update_moment_per_elem_norm",
    },
    "optax.contrib": {
        PIECE: "differentially_private_aggregate hutchinson_estimator_diag_hessian "
        "normalize reduce_on_plateau scale_by_acprop scale_by_ademamix scale_by_adopt "
        "scale_by_cocob scale_by_galore scale_by_madgrad scale_by_muon "
        "scale_by_simplified_ademamix",
        WRAPPER: "split_real_and_imaginary",
        NO_TRANSFORMATION: "schedule_free_eval_params",
    },
}


def returns_a_transformation(value):
    """By its annotation; what has none may return anything."""
    alias = value is Any or typing.get_origin(value) is not None
    if alias or isinstance(value, type) or not callable(value):
        return False
    returns = inspect.signature(value).return_annotation
    unknown = returns is inspect.Signature.empty
    return unknown or "GradientTransformation" in str(returns)


@pytest.mark.parametrize("module", [optax, optax.contrib], ids=lambda m: m.__name__)
def test_every_public_optimizer_has_a_row(module):
    prefix = module.__name__ + "."
    found = {
        name
        for name in dir(module)
        if name[0] != "_" and returns_a_transformation(getattr(module, name))
    }
    excluded = " ".join(EXCLUDED[module.__name__].values()).split()
    own = {name.removeprefix(prefix) for name in OPTAX if name.startswith(prefix)}
    own = {name for name in own if "." not in name}
    assert not own & set(excluded)
    assert found == own | set(excluded)


def test_no_name_is_given_twice():
    assert len(ROWS) == len(BEHAVIOURS) + len(TRAPS)


@rows(lambda row: True, OPTAX)
def test_the_decay_argument_and_its_default_are_those_of_the_signature(row):
    function = functools.reduce(getattr, row.name.split(".")[1:], optax)
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if "weight_decay" in name
        and name not in ("weight_decay_mask", "adam_weight_decay")
    }
    assert found == ({row.decay_argument: row.default} if row.decay_argument else {})
    assert row.decays_by_default == any(found.values())


@rows(lambda row: True)
def test_a_row_says_what_belongs_to_its_kind(row):
    assert {row.kind, row.kind_without_decay} <= set(Kind.__args__)
    fractional = row.kind in ("decoupled", "growing")
    assert fractional == ((row.rate or row.rate_in_step) is not None)
    assert not row.also_l2 or fractional
    if row.rate:
        assert (row.kind == "growing") == (row.rate(ALPHA, LAM) < 0)
    without = row.decay_argument is None and row.name in OPTAX
    assert not without or row.kind in (row.kind_without_decay, "decoupled")


@rows(lambda row: True)
def test_one_update_runs(row):
    u = path(row.name)[0][0]
    params = arguments(row, gradients(0), thetas(0))[0]
    chex.assert_trees_all_equal_shapes_and_dtypes(u, params)
    assert np.isfinite(flat(u)).all()


def deltas(row, alpha, step):
    """δ of each leaf."""
    rate = row.rate_in_step
    delta = rate(alpha, LAM, step) if rate else row.rate(alpha, LAM)
    return {leaf: delta * n for leaf, n in row.decays._asdict().items()}


# In test_formulas.py: of one no decay can be taken away, the other's step has 1 − δ.
BY_HAND = ("optax.fromage", "chain(adam, decay after the step)")
fraction = rows(
    lambda row: row.kind in ("decoupled", "growing") and row.name not in BY_HAND
)


@fraction
def test_a_decoupled_decay_takes_its_fraction(row):
    """In the first and in the third step that is taken."""
    changes, steps = differences(row.name), path(row.name)[1]
    for t in (row.every - 1, 3 * row.every - 1):
        delta = deltas(row, ALPHA, steps[t])
        for leaf, theta in thetas(t).items():
            # mechanize adds θ₀ to what is 1e-8 of it, and loses eight digits.
            np.testing.assert_allclose(
                changes[t][leaf], -delta[leaf] * theta, rtol=1e-6, atol=1e-15
            )


@fraction
def test_the_updates_between_those_that_are_taken_are_zero(row):
    for t, u in enumerate(path(row.name)[0]):
        assert (t + 1) % row.every == 0 or not flat(u).any()


@rows(lambda r: r.kind in ("decoupled", "growing") and r.kind_without_decay == "none")
def test_weights_that_are_moved_change_a_decoupled_update_by_their_fraction(row):
    """u(θ + Δ) − u(θ) = −δΔ from one state: no decay of 0 is needed to compare with."""
    updates, steps = path(row.name)
    t = 3 * row.every - 1
    moved, _ = update(
        row, row.make(ALPHA, LAM), steps[t].before, gradients(t), elsewhere(t)
    )
    delta = deltas(row, ALPHA, steps[t])
    for leaf, theta in thetas(t).items():
        displacement = elsewhere(t)[leaf] - theta
        np.testing.assert_allclose(
            moved[leaf] - updates[t][leaf],
            -delta[leaf] * displacement,
            rtol=1e-6,
            atol=1e-15,
        )


NONE = [(row.name, LAM) for row in ROWS.values() if row.kind == "none"]
NONE += [(row.name, 0.0) for row in ROWS.values() if row.kind_without_decay == "none"]


@pytest.mark.parametrize(("name", "lam"), NONE)
def test_none_does_not_depend_on_the_weights(name, lam):
    """Of the same gradients, wherever the state was made and the weights then are.

    A state made at other weights must do as well: none may remember its start.
    """
    here = path(name, lam=lam)[0]
    for start in (thetas, elsewhere):
        chex.assert_trees_all_equal(
            path(name, lam=lam, at=elsewhere, start=start)[0], here
        )


@fraction
def test_only_the_decay_of_plain_sgd_is_l2_as_well(row):
    pairs = zip(path(row.name)[0], path(row.name, lam=0.0, g=with_l2)[0], strict=True)
    same = all(np.allclose(flat(u), flat(v), rtol=1e-12, atol=1e-15) for u, v in pairs)
    assert same == row.also_l2


SOME = [r.name for r in ROWS.values() if r.kind_without_decay != "none"]


@pytest.mark.parametrize("name", SOME)
def test_all_others_depend_on_the_weights_without_decay(name):
    here, there = (
        path(name, rate=1.0, lam=0.0, at=at, loss=SMALL_LOSS)[0]
        for at in (thetas, elsewhere)
    )
    changes = [flat(a) - flat(b) for a, b in zip(here, there, strict=True)]
    assert max(np.linalg.norm(x) / np.linalg.norm(flat(here)) for x in changes) > 1e-9


# Decayed in any case; with a momentum behind the ratio; with an ε that grows with d; of
# one number for each column.
NOT_ALONG = (
    "optax.fromage",
    "optax.lars",
    "optax.contrib.prodigy",
    "chain(adaptive_grad_clip, sgd)",
)


@rows(lambda r: r.kind_without_decay == "trust" and r.name not in NOT_ALONG)
def test_without_decay_trust_changes_the_length_of_a_step_alone(row):
    """From one state, at weights that are moved, leaf by leaf."""
    updates, steps = path(row.name, lam=0.0)
    optimizer = row.make(ALPHA, 0.0)
    moved, _ = update(row, optimizer, steps[1].before, gradients(1), elsewhere(1))
    for leaf, u in updates[1].items():
        along = np.linalg.norm(moved[leaf]) / np.linalg.norm(u)
        np.testing.assert_allclose(moved[leaf], along * u, rtol=1e-12)


# Multiples of θ, but other ones at other weights and in every second step: by hand.
MULTIPLES = (
    "chain(scale_by_adam, add_decayed_weights, scale_by_param_block_rms, lr)",
    "lookahead(adamw)",
)


@rows(
    lambda row: (
        row.kind not in ("none", "decoupled", "growing") and row.name not in MULTIPLES
    )
)
def test_what_is_not_decoupled_takes_no_fraction_of_the_weights(row):
    """In some step of some leaf; or λ has no say, and then the label has none."""
    changes = differences(row.name)
    if not flat(changes).any():
        assert row.decay_argument is None
        assert row.kind == row.kind_without_decay
        return
    rest = []
    for t, change in enumerate(changes):
        for leaf, theta in thetas(t).items():
            x, y = change[leaf].ravel(), theta.ravel()
            rest.append(np.linalg.norm(x - (x @ y) / (y @ y) * y) / np.linalg.norm(y))
    assert max(rest) > 0.01 * max(np.abs(flat(changes)))


@rows(lambda row: row.exponents and row.name != "optax.fromage")
def test_the_exponents_are_those_of_the_learning_rate_and_its_schedule(row):
    a, b = row.exponents
    last = 3 * row.every - 1
    at_one, at_two, at_eta = (
        flat(differences(row.name, rate=rate)[last])
        for rate in (ALPHA_SMALL, 2 * ALPHA_SMALL, scheduled)
    )
    assert np.linalg.norm(at_one) > 0
    size = 1e-6 * np.abs(at_one).max()
    np.testing.assert_allclose(at_two, 2.0**a * at_one, rtol=1e-6, atol=2**a * size)
    np.testing.assert_allclose(at_eta, ETA[2] ** b * at_one, rtol=1e-6, atol=size)


@rows(lambda row: row.takes_schedule)
def test_a_schedule_is_taken(row):
    assert np.isfinite(flat(path(row.name, rate=scheduled)[0])).all()
