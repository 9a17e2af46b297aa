"""Gates: which entries, in which steps, against loops over entries and statistics."""

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import gate

ALPHA, DELTA = 0.1, 0.25
SIGNS = np.array([(g, x) for g in (-2.0, 0.0, 3.0) for x in (-1.5, 0.0, 0.5)])
G, THETA = SIGNS.T


@dataclasses.dataclass(frozen=True)
class Point:
    """A target of the test's own."""

    at: float

    def init(self, params: Any) -> None:
        del params

    def refresh(self, memory: Any, theta: Any) -> Any:
        del theta
        return memory

    def displacement(self, at: Any, memory: Any) -> Any:
        del memory
        return at - self.at


def once(transformation, updates, params):
    return transformation.update(updates, transformation.init(params), params)[0]


def cautious_step(u, theta, *, ties, target=0.0):
    """The definition, entry by entry: r x ≥ 0 with u = −α r; a tie is u = 0."""
    new = []
    for u_i, theta_i in zip(u, theta, strict=True):
        x = theta_i - target
        towards = (x > 0 and u_i < 0) or (x < 0 and u_i > 0)
        pulled = towards or (u_i == 0 and ties)
        new.append(u_i - DELTA * x if pulled else u_i)
    return np.array(new)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("target", [0.0, 0.2, -7.0])
def test_cautious_pulls_only_where_the_step_leads_to_the_target(ties, target):
    decay = wdjax.decay_weights(
        DELTA, gate=gate.cautious(ties=ties), target=Point(target)
    )
    optimizer = optax.chain(optax.sgd(ALPHA), decay)  # behind the learning rate
    u = once(optimizer, jnp.asarray(G), jnp.asarray(THETA))
    expected = cautious_step(-ALPHA * G, THETA, ties=ties, target=target)
    np.testing.assert_allclose(u, expected, rtol=1e-15)
    assert 0 < np.count_nonzero(expected != -ALPHA * G) < G.size  # some, not all


def test_cautious_is_algorithm_1_of_the_paper_on_adam():
    """θ ← θ − η(u + λ 1[uθ ≥ 0] θ) with Adam's u in NumPy, for some steps."""
    rng = np.random.default_rng(0)
    theta, eta, lam = rng.normal(size=40), 0.05, 0.5
    decay = wdjax.decay_weights(eta * lam, gate=gate.cautious())
    optimizer = optax.chain(optax.adam(eta), decay)
    ours, state = jnp.asarray(theta), optimizer.init(jnp.asarray(theta))
    m, v, shut = np.zeros(40), np.zeros(40), 0
    for t in range(1, 9):
        g = np.sin(3 * theta + t)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        u = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        shut += np.sum(u * theta < 0)
        theta = theta - eta * (u + lam * (u * theta >= 0) * theta)
        step, state = optimizer.update(jnp.sin(3 * ours + t), state, ours)
        ours = optax.apply_updates(ours, step)
    # Some tens of roundings, amplified by the sine.
    np.testing.assert_allclose(ours, theta, rtol=1e-12, atol=1e-13)
    assert 50 < shut < 270  # of 320: the gate was at work


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_cautious_compares_signs_where_a_product_underflows(dtype):
    u = jnp.array([1e-25, -1e-25, 1e-25, -1e-25], dtype)
    theta = jnp.array([1e-25, 1e-25, -1e-25, -1e-25], dtype)
    assert (u * theta == 0).all()  # so the test can tell
    for ties in (True, False):
        decay = wdjax.decay_weights(DELTA, gate=gate.cautious(ties=ties))
        pulled = once(decay, u, theta) != u
        np.testing.assert_array_equal(pulled, [False, True, True, False])


def test_an_entry_at_its_target_is_not_pulled_whatever_the_step():
    for ties in (True, False):
        decay = wdjax.decay_weights(DELTA, gate=gate.cautious(ties=ties))
        u = jnp.array([-1.0, 0.0, 1.0])
        np.testing.assert_array_equal(once(decay, u, jnp.zeros(3)), u)


def test_behind_a_step_that_overshoots_the_place_decides():
    """From 1 by −3: towards the origin at the old point, away from it at the new."""
    u, theta = jnp.array([-3.0]), jnp.array([1.0])
    beside = wdjax.decay_weights(DELTA, gate=gate.cautious())
    np.testing.assert_array_equal(once(beside, u, theta), [-3.25])
    for make in (wdjax.decay_weights_after, wdjax.decay_weights_proximally):
        behind = make(DELTA, gate=gate.cautious())
        np.testing.assert_array_equal(once(behind, u, theta), u)
        np.testing.assert_array_less(once(behind, u / 6, theta), u / 6)


def test_cautious_remembers_nothing():
    state = wdjax.decay_weights(DELTA, gate=gate.cautious()).init(jnp.ones(3))
    assert jax.tree.leaves(state) == []


@pytest.mark.parametrize("make", [np.bool_, np.array, jnp.array])
def test_ties_may_be_a_bool_of_any_library(make):
    for ties in (True, False):
        made = inspect.unwrap(gate.cautious)(ties=make(ties))
        u = once(wdjax.decay_weights(DELTA, gate=made), jnp.zeros(1), jnp.ones(1))
        np.testing.assert_array_equal(u, [-DELTA if ties else 0.0])


def test_ties_may_be_traced():
    def pulled(ties):
        decay = wdjax.decay_weights(DELTA, gate=gate.cautious(ties=ties))
        return once(decay, jnp.zeros(1), jnp.ones(1))

    moved = jax.vmap(pulled)(jnp.array([True, False]))
    np.testing.assert_array_equal(moved, [[-DELTA], [0.0]])


N, T = 20_000, 6


def runs(delta, drawing, theta_0=1.0, steps=T, n=N):
    decay = wdjax.decay_weights(delta, gate=drawing)

    def step(carry, _):
        theta, state = carry
        u, state = decay.update(jnp.zeros(n), state, theta)
        theta = optax.apply_updates(theta, u)
        return (theta, state), theta

    theta = jnp.full(n, theta_0)
    return jax.lax.scan(step, (theta, decay.init(theta)), length=steps)[1]


@pytest.mark.parametrize("probability", [0.3, 0.9])
def test_stochastic_decay_has_the_mean_and_the_spread_of_its_draws(probability):
    """E θ_T = (1 − δ)^T θ₀ and E θ_T² = ((1 − p) + p(1 − δ/p)²)^T θ₀², by hand."""
    delta, p = 0.2, probability
    theta = runs(delta, gate.stochastic(p, seed=3), theta_0=2.0)[-1]
    second = ((1 - p) + p * (1 - delta / p) ** 2) ** T
    for sample, expected in (
        (theta / 2, (1 - delta) ** T),
        ((theta / 2) ** 2, second),
    ):
        error = np.mean(sample) - expected
        standard_error = np.std(sample, ddof=1) / np.sqrt(N)
        # Four samples in all at a fixed seed: 3.5 is the normal quantile of 5e-4.
        assert abs(error) < 3.5 * standard_error
    spread = np.sqrt(second - (1 - delta) ** (2 * T))
    assert np.std(theta / 2) == pytest.approx(spread, rel=0.05)


def test_draws_differ_between_entries_steps_leaves_and_seeds():
    """Bernoulli(½) draws that are independent agree in half the cases, ±3.5 σ."""

    def open_(seed, t, leaf):
        drawing = gate.stochastic(0.5, seed)
        return drawing.opening(jnp.zeros(N), jnp.ones(N), t, leaf) > 0

    first = open_(0, 0, 0)
    np.testing.assert_array_equal(first, open_(0, 0, 0))
    others = [open_(0, 1, 0), open_(0, 0, 1), open_(1, 0, 0), open_(0, 1, 1)]
    for other in (*others, jnp.roll(first, 1)):
        agreement = np.mean(first == other) - 0.5
        assert abs(agreement) < 3.5 * 0.5 / np.sqrt(N)


def draws(probability, *seed):
    """One step's openings of 64 entries in float32."""
    drawing = inspect.unwrap(gate.stochastic)(probability, *seed)
    return drawing.opening(jnp.zeros(64), jnp.ones(64, jnp.float32), 0, 0)


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_draws_do_not_depend_on_how_the_probability_is_stored(kind):
    stored = draws(jnp.array(0.3, kind))
    assert stored.dtype == jnp.float32
    np.testing.assert_array_equal(stored, draws(float(jnp.array(0.3, kind))))


@pytest.mark.parametrize("three", [np.int32(3), np.array(3), jnp.array(3)], ids=type)
def test_an_integer_of_any_library_is_a_seed(three):
    np.testing.assert_array_equal(draws(0.5, three), draws(0.5, 3))


def test_the_seed_is_0_by_default():
    assert gate.stochastic(0.5) == gate.stochastic(0.5, 0)


def test_each_leaf_has_draws_of_its_own():
    params = {"a": jnp.ones(64), "b": jnp.ones(64)}
    decay = wdjax.decay_weights(0.1, gate=gate.stochastic(0.5))
    zeros = jax.tree.map(jnp.zeros_like, params)
    u = once(decay, zeros, params)
    assert (u["a"] != u["b"]).any()


def test_probability_one_is_always():
    theta = jnp.linspace(-2.0, 2.0, 33)
    u = jnp.cos(theta)
    drawn = once(wdjax.decay_weights(DELTA, gate=gate.stochastic(1.0)), u, theta)
    np.testing.assert_array_equal(drawn, once(wdjax.decay_weights(DELTA), u, theta))
    np.testing.assert_array_equal(drawn, u - DELTA * theta)


def test_resumed_draws_are_the_same_draws():
    decay = wdjax.decay_weights(0.2, gate=gate.stochastic(0.5, seed=1))
    whole = runs(0.2, gate.stochastic(0.5, seed=1), n=50)
    theta, state = whole[2], decay.init(jnp.ones(50))
    state = state._replace(step=jnp.array(3, jnp.int32))  # a checkpoint: a count
    u, state = decay.update(jnp.zeros(50), state, theta)
    np.testing.assert_array_equal(optax.apply_updates(theta, u), whole[3])
    assert [leaf.dtype for leaf in jax.tree.leaves(state)] == [jnp.int32]


def test_member_i_of_a_grid_of_seeds_and_probabilities_is_run_i():
    def run(seed, p):
        return runs(0.2, gate.stochastic(p, seed), n=50)[-1]

    seeds, ps = jnp.array([0, 1, 2]), jnp.array([0.3, 0.5, 1.0])
    grid = jax.jit(jax.vmap(run))(seeds, ps)
    for i in range(3):
        # Fusion may round once more or less in each step.
        np.testing.assert_allclose(grid[i], run(i, float(ps[i])), rtol=1e-14)
    assert (grid[0] != grid[1]).any()


@pytest.mark.parametrize("drawing", [gate.cautious(), gate.stochastic(0.5)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_leaves_keep_their_dtype(drawing, dtype):
    theta = jnp.linspace(-2.0, 2.0, 16).astype(dtype)
    u = jnp.full(16, 0.125, dtype)
    for probability in (0.5, jnp.array(0.5, jnp.bfloat16), jnp.array(0.5)):
        gate_ = drawing
        if isinstance(drawing, gate.Stochastic):
            gate_ = gate.stochastic(probability)
        new = once(wdjax.decay_weights(DELTA, gate=gate_), u, theta)
        assert new.dtype == dtype


def test_gates_work_through_partition_and_multi_steps():
    params = {"w": jnp.ones(200), "b": jnp.ones(200)}
    decay = wdjax.decay_weights(0.5, gate=gate.stochastic(0.5))
    groups = {"on": decay, "off": optax.identity()}
    optimizer = optax.MultiSteps(optax.partition(groups, {"w": "on", "b": "off"}), 2)
    state, zeros = optimizer.init(params), jax.tree.map(jnp.zeros_like, params)
    for _ in range(4):
        u, state = optimizer.update(zeros, state, params)
        params = optax.apply_updates(params, u)
    np.testing.assert_array_equal(params["b"], 1.0)
    # Two applied steps at δ/p = 1: what was drawn once is gone, the rest untouched.
    assert set(np.unique(params["w"])) == {0.0, 1.0}
    assert np.mean(params["w"]) == pytest.approx(0.25, abs=0.11)  # 3.5 · √(¼·¾/200)


BAD = [
    (gate.stochastic, (0.0,), "probability is 0; it must be larger than 0"),
    (gate.stochastic, (1.5,), r"probability is 1.5; it must be in \(0, 1\]"),
    (gate.stochastic, (-0.5,), "probability is -0.5; it must be finite"),
    (gate.stochastic, (jnp.ones(2),), r"probability has shape \(2,\)"),
    (gate.stochastic, (lambda t: 0.5,), "probability is the schedule .*give a number"),
    (gate.stochastic, (0.5, 0.5), "seed is 0.5; it must be an integer"),
    (gate.stochastic, (0.5, "a"), "seed is 'a'; it must be an integer"),
    (gate.stochastic, (0.5, jnp.arange(2)), "it must be an integer.*vmap over it"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), BAD)
def test_a_bad_argument_is_refused_by_name(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(make)(*arguments)


@pytest.mark.parametrize("ties", ["yes", None, 1, jnp.array(1)])
def test_ties_must_be_a_bool(ties):
    with pytest.raises(ValueError, match=r"ties is .*; give True"):
        inspect.unwrap(gate.cautious)(ties=ties)


def test_gates_are_plain_data():
    """What is callable, `inject_hyperparams` takes for a schedule."""
    for made in (gate.always, gate.cautious(ties=False), gate.stochastic(0.5, 1)):
        assert not callable(made)
        assert dataclasses.is_dataclass(made)
    assert gate.stochastic(0.5, 1) == gate.stochastic(0.5, 1)
