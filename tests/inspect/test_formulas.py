"""What is not decoupled, row by row against its formula in NumPy."""

import jax
import numpy as np
import pytest

from tests.inspect.behaviours import Leaves
from tests.inspect.paths import (
    ALPHA,
    LAM,
    LOSS,
    ROWS,
    SMALL_LOSS,
    START,
    STEPS,
    differences,
    elsewhere,
    flat,
    gradients,
    path,
    thetas,
    update,
    with_l2,
    zeros,
)

IN_FRONT = [name for name in ROWS if name.startswith("chain(add_decayed_weights, ")]
IN_FRONT.remove("chain(add_decayed_weights, adamw)")
IN_FRONT.remove("chain(add_decayed_weights, lbfgs)")  # given the gradient twice
IN_FRONT += ["optax.adadelta", "optax.lars"]
IN_FRONT += [
    f"optax.contrib.{name}"
    for name in ("cocob", "dog", "dowg", "madgrad", "schedule_free_sgd")
]


@pytest.mark.parametrize("name", IN_FRONT)
def test_decay_in_front_is_a_gradient_with_l2(name):
    """So that it goes through every state that the gradient goes through."""
    for u, v in zip(path(name)[0], path(name, lam=0.0, g=with_l2)[0], strict=True):
        np.testing.assert_allclose(flat(u), flat(v), rtol=1e-12, atol=1e-15)


GEOMETRIC = [[0.9 ** (t - i) for i in range(t + 1)] for t in range(STEPS)]
SUMS = dict.fromkeys(
    (
        "optax.novograd",
        "chain(add_decayed_weights, sgd with momentum)",
        "chain(scale_by_adam, add_decayed_weights, trace, learning rate)",
        "chain(adamw, trace)",
    ),
    GEOMETRIC,
)
SUMS["chain(scale_by_adam, add_decayed_weights, ema, learning rate)"] = [
    [w / sum(weights) for w in weights] for weights in GEOMETRIC
]
SUMS["chain(adamw, apply_every)"] = [[0], [1, 1], [0, 0, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("name", SUMS)
def test_a_momentum_holds_the_decays_of_the_past(name):
    """What the decay adds is −αλ Σ w_i θ_i."""
    for change, weights in zip(differences(name), SUMS[name], strict=True):
        past = sum(w * flat(thetas(i)) for i, w in enumerate(weights))
        np.testing.assert_allclose(flat(change), -ALPHA * LAM * past, atol=1e-15)


def test_fromage_always_decays():
    c = 1 / np.sqrt(1 + ALPHA**2)
    assert ROWS["optax.fromage"].rate(ALPHA, LAM) == pytest.approx(1 - c, rel=1e-12)
    # 1 − c is α²/2 to leading order, the next being α⁴.
    assert ROWS["optax.fromage"].rate(1e-3, LAM) == pytest.approx(5e-7, rel=1e-6)
    assert ROWS["optax.fromage"].exponents == (2, 2)
    for t, u in enumerate(path("optax.fromage")[0]):
        for leaf, theta in thetas(t).items():
            g = gradients(t)[leaf]
            step = c * ALPHA * np.linalg.norm(theta) / np.linalg.norm(g) * g
            np.testing.assert_allclose(u[leaf], -step - (1 - c) * theta, rtol=1e-12)


@pytest.mark.parametrize("lam", [0.0, LAM])
def test_the_first_step_of_lamb_has_the_length_of_the_weights(lam):
    """α‖θ‖ along r + λθ, r = g/(|g| + ε) in the first step."""
    u = path("optax.lamb", lam=lam)[0][0]
    for leaf, theta in thetas(0).items():
        g = gradients(0)[leaf]
        along = g / (np.abs(g) + 1e-6) + lam * theta
        expected = -ALPHA * np.linalg.norm(theta) * along / np.linalg.norm(along)
        np.testing.assert_allclose(u[leaf], expected, rtol=1e-9)


def test_lars_scales_the_sum_of_gradient_and_decay():
    u = path("optax.lars")[0][0]
    for leaf, theta in thetas(0).items():
        along = with_l2(0)[leaf]
        step = 0.001 * np.linalg.norm(theta) * along / np.linalg.norm(along)
        np.testing.assert_allclose(u[leaf], -ALPHA * step, rtol=1e-12)


@pytest.mark.parametrize("loss", [LOSS, SMALL_LOSS])
def test_momo_shrinks_beside_a_step_that_may_depend_on_the_weights(loss):
    alpha = 10.0
    u = path("optax.contrib.momo", rate=alpha, loss=loss)[0][0]
    g, theta = flat(gradients(0)), flat(thetas(0))
    gap = (1 + alpha * LAM) * (loss - g @ theta) + g @ theta
    tau = min(alpha, max(gap, 0) / (g @ g))
    assert (tau == alpha) == (loss == LOSS)
    shrunk = alpha * LAM / (1 + alpha * LAM) * theta
    np.testing.assert_allclose(flat(u), -shrunk - tau * g, rtol=1e-12)


SCHEDULE_FREE = (
    "optax.contrib.schedule_free_adamw",
    "optax.contrib.schedule_free_sgd",
    "schedule_free(adamw)",
)


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_schedule_free_keeps_all_decays_in_z(name):
    """z takes −αλθ, and the new θ is 0.9x + 0.1z, x the mean of the z."""
    z = 0.0
    for t, change in enumerate(differences(name)):
        before, z, c = z, z - ALPHA * LAM * flat(thetas(t)), 1 / (t + 1)
        x = (1 - c) * (-0.1 * before / 0.9) + c * z
        np.testing.assert_allclose(flat(change), 0.9 * x + 0.1 * z, atol=1e-14)


def test_l2_and_decay_may_both_be_on():
    l2 = path("chain(add_decayed_weights, adam)")[0]
    both = path("chain(add_decayed_weights, adamw)")[0]
    for t in range(STEPS):
        pull = ALPHA * LAM * flat(thetas(t))
        np.testing.assert_allclose(flat(both[t]), flat(l2[t]) - pull, atol=1e-15)


# At zero gradient: the part of the way to the weights that the state was made at.
WAYS = {
    "optax.contrib.cocob": lambda t: 1.0,
    "optax.contrib.madgrad": lambda t: 0.1,
    **dict.fromkeys(SCHEDULE_FREE, lambda t: 1 / (t + 1)),
    "optax.contrib.schedule_free": lambda t: 1 / (t + 1),
    "chain(schedule_free_adamw, add_decayed_weights of -δ)": lambda t: 1 / (t + 1),
}


@pytest.mark.parametrize("name", WAYS)
def test_some_are_drawn_to_the_start_without_any_decay(name):
    for t, u in enumerate(path(name, lam=0.0, g=zeros, start=elsewhere)[0]):
        way = flat(elsewhere(0)) - flat(thetas(t))
        np.testing.assert_allclose(flat(u), WAYS[name](t) * way, atol=1e-13)


def test_mechanize_only_tunes_its_scale():
    first, second, *_ = differences("optax.contrib.mechanize")
    assert not flat(first).any()
    assert flat(second).any()


MECHANIZED = {"optax.contrib.mechanize": "optax.sgd", "mechanize(adamw)": "optax.adam"}


@pytest.mark.parametrize("name", MECHANIZED)
def test_mechanize_scales_the_way_from_the_start(name):
    """θ' = θ₀ + S'/S·(θ − θ₀) + S'u, of the weights in the first step."""
    base = path(MECHANIZED[name])[0]
    for u, step in zip(*path(name, lam=0.0), strict=True):
        before, after = step.before.s.sum(), step.after.s.sum()
        way = flat(thetas(step.t)) - flat(thetas(0))
        expected = (after / (before + 1e-8) - 1) * way + after * flat(base[step.t])
        np.testing.assert_allclose(flat(u), expected, rtol=1e-12, atol=1e-14)


def test_sam_returns_to_the_remembered_weights_in_every_second_update():
    """And those it decays, once in two updates."""
    for t, change in enumerate(differences("sam(adamw)")):
        expected = -ALPHA * LAM * flat(thetas(t - 1)) if t % 2 else 0 * flat(change)
        np.testing.assert_allclose(flat(change), expected, rtol=1e-12)
    for at in (thetas, elsewhere):
        u = path("optax.contrib.sam", at=at)[0][1]
        way = flat(at(0)) - flat(at(1))
        np.testing.assert_allclose(
            flat(u), way - ALPHA * flat(gradients(1)), rtol=1e-12, atol=1e-15
        )


def test_lookahead_halves_the_decay_where_it_synchronises():
    for t, change in enumerate(differences("lookahead(adamw)")):
        pull = -ALPHA * LAM * flat(thetas(t))
        fast, slow = (0.5, 0.5) if t % 2 else (1.0, 0.0)
        np.testing.assert_allclose(flat(change.fast), fast * pull, atol=1e-15)
        np.testing.assert_allclose(flat(change.slow), slow * pull, atol=1e-15)


def test_every_pull_without_a_decay_is_checked_above():
    targets = {r.name for r in ROWS.values() if r.kind_without_decay == "target"}
    wrapped = {"optax.contrib.sam", "sam(adamw)", "lookahead(adamw)"}
    assert targets == {*WAYS, *MECHANIZED, *wrapped}


def nan(t):
    return jax.tree.map(lambda x: np.full_like(x, np.nan), START)


def test_only_a_decay_inside_is_refused_with_the_step():
    inside = path("apply_if_finite(adamw)", g=nan)[0][0]
    assert not flat(inside).any()
    behind = path("chain(apply_if_finite(adam), add_decayed_weights of -δ)", g=nan)[0]
    np.testing.assert_array_equal(flat(behind[0]), -LAM * flat(thetas(0)))


def test_masked_passes_the_gradient_of_what_it_leaves_out():
    u = path("masked(adamw)")[0][0]
    np.testing.assert_array_equal(u["bias"], gradients(0)["bias"])


LENGTHS = {
    "chain(adamw, clip_by_global_norm)": 1e-3,
    "chain(add_decayed_weights, clip_by_global_norm, sgd)": 0.1 * ALPHA,
    "chain(scale_by_adam, add_decayed_weights, normalize_by_update_norm, lr)": ALPHA,
}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("lam", [0.0, LAM])
def test_a_step_with_its_decay_has_a_length_of_its_own(name, lam):
    for u in path(name, lam=lam)[0]:
        # The ε of normalize_by_update_norm is 1e-6.
        assert np.linalg.norm(flat(u)) == pytest.approx(LENGTHS[name], rel=2e-6)


def centred(theta):
    return theta - theta.mean(1, keepdims=True) if theta.ndim > 1 else theta


def rms(theta):
    return np.sqrt(np.mean(theta**2))


# (u without decay, θ, θ of the first step) to u.
PULLS = {
    "chain(adam, decay after the step)": lambda u, p, _: (1 - LAM) * (p + u) - p,
    "chain(adam, proximal decay)": lambda u, p, _: (p + u) / (1 + LAM) - p,
    "chain(adam, soft threshold)": lambda u, p, _: (
        np.where(abs(p + u) > LAM, p + u - LAM * np.sign(p + u), 0) - p
    ),
    "chain(adam, decay by the sign)": lambda u, p, _: u - LAM * np.sign(p),
    "chain(adam, cautious decay)": lambda u, p, _: np.where(u * p > 0, u, u - LAM * p),
    "chain(adam, decay towards the start)": lambda u, p, p_0: u - LAM * (p - p_0),
    "chain(scale_by_adam, add_decayed_weights, centralize, lr)": lambda u, p, _: (
        u - ALPHA * LAM * centred(p)
    ),
    "chain(scale_by_adam, add_decayed_weights, scale_by_param_block_rms, lr)": (
        lambda u, p, _: u - ALPHA * LAM * rms(p) * p
    ),
}


@pytest.mark.parametrize("name", PULLS)
def test_a_pull_is_its_formula(name):
    with_decay, without = path(name)[0], path(name, lam=0.0)[0]
    for t in range(STEPS):
        for leaf, theta in thetas(t).items():
            expected = PULLS[name](without[t][leaf], theta, thetas(0)[leaf])
            np.testing.assert_allclose(with_decay[t][leaf], expected, atol=1e-14)


def test_an_average_is_what_it_was_before_and_a_tenth_of_the_weights():
    mean = flat(thetas(0))
    for t, change in enumerate(differences("chain(adam, decay towards an average)")):
        mean = 0.9 * mean + 0.1 * flat(thetas(t))
        expected = -LAM * (flat(thetas(t)) - mean)
        np.testing.assert_allclose(flat(change), expected, atol=1e-14)


def test_the_norm_after_a_step_is_the_first_or_in_the_ball():
    rescaled = path("chain(adamw, to the first norm)")[0]
    inside = path("chain(adam, into a ball)")[0]
    for t in range(STEPS):
        for leaf, theta in thetas(t).items():
            first = np.linalg.norm(thetas(0)[leaf])
            assert np.linalg.norm(theta + rescaled[t][leaf]) == pytest.approx(first)
            assert np.linalg.norm(theta + inside[t][leaf]) <= 1 + 1e-12


def test_weights_that_would_be_negative_are_set_to_zero():
    for t, u in enumerate(path("chain(sgd, keep_params_nonnegative)")[0]):
        after = flat(thetas(t)) - ALPHA * flat(gradients(t))
        expected = np.maximum(after, 0) - flat(thetas(t))
        np.testing.assert_allclose(flat(u), expected, atol=1e-15)


def test_muon_leaves_all_but_matrices_to_a_decay_of_its_own():
    assert ROWS["optax.contrib.muon"].decays == Leaves(kernel=1.0, bias=0.0)
    row = ROWS["optax.contrib.muon"]
    stack = {"stack": np.ones((2, 3, 2)), "kernel": np.ones((3, 2))}
    g = jax.tree.map(np.ones_like, stack)
    with_decay, without = (
        update(row, o, o.init(stack), g, stack)[0]
        for o in (row.make(ALPHA, LAM), row.make(ALPHA, 0.0))
    )
    np.testing.assert_array_equal(with_decay["stack"], without["stack"])
    np.testing.assert_allclose(
        with_decay["kernel"] - without["kernel"], -ALPHA * LAM * stack["kernel"]
    )
