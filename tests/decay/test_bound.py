"""Constrained norms and their bounds, against AdamCPR's loop in NumPy."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wdjax.decay import bound, norm

STEPS = 40
RNG = np.random.default_rng(0)
PARAMS = {
    "w": RNG.normal(size=(3, 4)),
    "v": 0.1 * RNG.normal(size=(5, 2)),
    "b": RNG.normal(size=(4,)),
}
PARAMS = jax.tree.map(jnp.asarray, PARAMS)
# Growth that slows: outwards at first, and less and less so.
KICKS = jax.tree.map(
    lambda p: (
        0.3 * jnp.exp(-0.1 * jnp.arange(STEPS)).reshape(-1, *[1] * p.ndim) * p[None]
        + 0.02 * RNG.normal(size=(STEPS, *p.shape))
    ),
    PARAMS,
)


def path(optimizer, params=PARAMS, kicks=KICKS):
    """The parameters after each step, and the last state."""

    def step(carry, kick):
        params, state = carry
        updates, state = optimizer.update(kick, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = (params, optimizer.init(params))
    (_, state), walked = jax.jit(lambda c: jax.lax.scan(step, c, kicks))(start)
    return walked, state


def lengths(x):
    return np.sqrt(np.square(np.asarray(x, float)).reshape(len(x), -1).sum(1))


class Inflections:
    """AdamCPR's search, every ``s`` steps, on the sum of squares."""

    def __init__(self, start, s):
        self.s, self.sums, self.kappa = s, [start], np.inf

    def __call__(self, t, total):
        if t % self.s == 0:
            self.sums.append(total)
            slope = np.diff(self.sums)
            if t > 3 * self.s and slope[-1] < slope[-2] and self.kappa == np.inf:
                self.kappa = total
        return self.kappa


def constrained(theta, kicks, rate, limit):
    """AdamCPR behind any step: rate c/n on the sum of squares, and κ of the sum."""
    multiplier, kappa, walked, multipliers = 0.0, limit(0, (theta**2).sum()), [], []
    for t, kick in enumerate(kicks, start=1):
        theta = theta + kick
        total = (theta**2).sum()
        if kappa != np.inf:
            multiplier = max(0.0, multiplier + rate / theta.size * (total - kappa))
            theta = theta - 2 * multiplier * theta
        kappa = min(kappa, limit(t, total))
        walked.append(theta)
        multipliers.append(multiplier)
    return np.stack(walked), multipliers


def limits(name, theta):
    """The four bounds, on the sum of squares."""
    start = (theta**2).sum()
    return {
        "fixed": lambda t, total: 0.02 * theta.size,
        "from_start": lambda t, total: 1.5 * start,
        "warm_start": lambda t, total: total if t == 7 else np.inf,
        "inflection": Inflections(start, 3),
    }[name]


BOUNDS = {
    "fixed": bound.fixed(0.02),
    "from_start": bound.from_start(1.5),
    "warm_start": bound.warm_start(7),
    "inflection": bound.inflection(3),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_constraint_is_that_of_adamcpr(name):
    """The loop of the reference, one matrix at a time, in float64."""
    optimizer = norm.constrain_norm(BOUNDS[name], multiplier_rate=0.02)
    walked, state = path(optimizer)
    for leaf in ("w", "v"):
        theta, kicks = np.asarray(PARAMS[leaf]), np.asarray(KICKS[leaf])
        expected, lams = constrained(theta, kicks, 0.02, limits(name, theta))
        # Sums in another order, over 40 steps.
        np.testing.assert_allclose(walked[leaf], expected, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(state.multiplier[leaf], [[lams[-1]]], rtol=1e-11)
        assert max(lams) < 0.5
    free = path(optax.identity())[0]
    assert (lengths(walked["w"])[-1:] < lengths(free["w"])[-1:]).all()  # it did bite
    np.testing.assert_array_equal(walked["b"], free["b"])


def test_a_violated_constraint_holds_in_the_long_run():
    """The fixed point in closed form, for ½‖θ − a‖² and a bound on the step's end.

    With p = sa, s = √(nκ)/‖a‖ (so that R(p) = κ) and p = (1 − α)θ + αa, the weights
    rest at θ = a(s − α)/(1 − α), inside the bound.
    """
    a, alpha, kappa = jnp.array([[3.0, -1.0], [2.0, 0.5]]), 0.1, 0.4
    base = optax.chain(
        optax.sgd(alpha), norm.constrain_norm(bound.fixed(kappa), multiplier_rate=0.05)
    )

    def step(carry, _):
        theta, state = carry
        updates, state = base.update(theta - a, state, theta)
        return (theta + updates, state), None

    start = (jnp.zeros_like(a), base.init(jnp.zeros_like(a)))
    (theta, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=2000))(start)
    s = np.sqrt(a.size * kappa) / np.linalg.norm(a)
    # The iteration has converged; what is left is rounding.
    np.testing.assert_allclose(theta, a * (s - alpha) / (1 - alpha), rtol=1e-12)
    assert jnp.mean(theta**2) < kappa < jnp.mean(a**2)


def test_within_the_bound_nothing_happens():
    """Bit by bit the base optimizer, whose multipliers stay 0."""
    base = optax.adam(0.01)
    within = norm.constrain_norm(bound.fixed(100.0), where=None)
    both = optax.chain(base, within)
    params, state, free, free_state = (
        PARAMS,
        both.init(PARAMS),
        PARAMS,
        base.init(PARAMS),
    )
    for t in range(5):  # not compiled: fusion would round the two differently
        kick = jax.tree.map(lambda k, t=t: k[t], KICKS)
        updates, state = both.update(kick, state, params)
        expected, free_state = base.update(kick, free_state, free)
        chex.assert_trees_all_equal(updates, expected)
        params, free = (optax.apply_updates(p, expected) for p in (params, free))
    assert all(not m.any() for m in jax.tree.leaves(state[-1].multiplier))


def test_a_warm_start_is_unconstrained_until_it_ends():
    optimizer = norm.constrain_norm(bound.warm_start(7))
    walked, state = path(optimizer)
    free, _ = path(optax.identity())
    np.testing.assert_array_equal(walked["w"][:7], free["w"][:7])
    assert not np.array_equal(walked["w"][7], free["w"][7])
    np.testing.assert_allclose(
        state.bound["w"], [[np.mean(np.square(free["w"][6]))]], rtol=1e-14
    )


@pytest.mark.parametrize(
    ("values", "found"),
    [
        # Looked at in steps 2, 4, …; R grows by 1, 2, 4, 8, then by 7.
        ([0, 1, 0, 3, 0, 7, 0, 15, 0, 22, 0, 23], 22.0),
        ([0, 1, 0, 3, 0, 4, 0, 10, 0, 17, 0, 25], np.inf),  # a slowing before k = 4
        ([0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6], np.inf),  # straight lines never slow
    ],
)
def test_the_inflection_is_the_first_slowing_of_growth(values, found):
    rule = bound.inflection(2)
    memory = rule.init(jnp.array(0.0))
    for t, value in enumerate(values, start=1):
        memory = rule.refresh(memory, jnp.array(float(value)), jnp.array(t))
    assert rule.level(memory) == found


def test_the_multiplier_never_turns_the_weights_over():
    """AdamCPR's λ beyond ½ would flip the sign of every weight."""
    theta = {"w": jnp.full((2, 2), 10.0)}
    optimizer = norm.constrain_norm(bound.fixed(1e-3), multiplier_rate=5.0)
    walked, state = path(optimizer, theta, {"w": jnp.ones((3, 2, 2))})
    assert (walked["w"] >= 0).all()
    assert (state.multiplier["w"] <= 0.5).all()


def test_a_layer_that_starts_at_zero_gets_no_bound_from_there():
    theta = {"w": jnp.zeros((2, 2))}
    kicks = {"w": jnp.ones((3, 2, 2))}
    walked, _ = path(norm.constrain_norm(bound.from_start()), theta, kicks)
    np.testing.assert_array_equal(walked["w"][-1], np.full((2, 2), 3.0))


def test_the_multiplier_rate_may_be_a_schedule():
    """Also one that is 0 while there is no bound: no 0·∞."""
    late = norm.constrain_norm(
        bound.warm_start(3), multiplier_rate=lambda t: jnp.where(t < 5, 0.0, 0.02)
    )
    walked, _ = path(late)
    free, _ = path(optax.identity())
    np.testing.assert_array_equal(walked["w"][:5], free["w"][:5])
    assert (lengths(walked["w"])[5:] < lengths(free["w"])[5:]).all()


def test_members_may_have_bounds_and_rates_of_their_own():
    def run(kappa, rate):
        control = norm.constrain_norm(bound.fixed(kappa), multiplier_rate=rate)
        return path(control)[0]

    kappas, rates = jnp.array([0.01, 0.5]), jnp.array([0.01, 0.03])
    together = jax.vmap(run)(kappas, rates)
    for i in range(2):
        member = jax.tree.map(lambda x, i=i: x[i], together)
        alone = run(float(kappas[i]), float(rates[i]))
        chex.assert_trees_all_close(member, alone, rtol=1e-11, atol=1e-13)


def test_under_multi_steps_a_step_is_an_applied_step():
    control = norm.constrain_norm(bound.warm_start(2), multiplier_rate=0.05)
    optimizer = optax.MultiSteps(control, every_k_schedule=2)
    doubled = jax.tree.map(lambda k: jnp.repeat(k[:6], 2, axis=0), KICKS)
    walked, _ = path(optimizer, PARAMS, doubled)
    alone, _ = path(control, PARAMS, jax.tree.map(lambda k: k[:6], KICKS))
    for leaf in ("w", "v"):
        # `MultiSteps` accumulates in float32.
        np.testing.assert_allclose(walked[leaf][1::2], alone[leaf], rtol=1e-6)


@pytest.mark.parametrize("make", [bound.warm_start, bound.inflection])
def test_members_may_look_at_steps_of_their_own(make):
    def run(steps):
        return path(norm.constrain_norm(make(steps), multiplier_rate=0.02))[0]

    counts = jnp.array([2, 3])
    together = jax.vmap(run)(counts)
    for i, steps in enumerate((2, 3)):
        member = jax.tree.map(lambda x, i=i: x[i], together)
        chex.assert_trees_all_close(member, run(steps), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (bound.warm_start(2), [1.0, 0.0, 5.0]),
        # Looked at in every step; R falls by 1, 1, 1, and in the fourth by 2 to 0.
        (bound.inflection(1), [4.0, 3.0, 2.0, 0.0, 5.0]),
    ],
    ids=["warm_start", "inflection"],
)
def test_a_layer_that_is_zero_where_its_bound_is_set_gets_none(rule, values):
    memory = rule.init(jnp.array(5.0))
    for t, value in enumerate(values, start=1):
        memory = rule.refresh(memory, jnp.array(value), jnp.array(t))
    assert rule.level(memory) == np.inf


def test_the_start_is_the_bound_and_growth_is_looked_at_every_200_steps_by_default():
    assert bound.from_start() == bound.from_start(1.0)
    assert bound.inflection() == bound.inflection(200)


def test_the_multiplier_grows_by_the_whole_excess_by_default():
    """R − κ = 0.2 in the first step: λ = 0.2 and θ = (1 − 0.4)p."""
    theta = {"w": jnp.full((2, 2), np.sqrt(1.2))}
    optimizer = norm.constrain_norm(bound.fixed(1.0))
    walked, state = path(optimizer, theta, {"w": jnp.zeros((1, 2, 2))})
    np.testing.assert_allclose(state.multiplier["w"], [[0.2]], rtol=1e-14)
    np.testing.assert_allclose(walked["w"][0], 0.6 * theta["w"], rtol=1e-14)


def test_a_known_count_is_looked_at_also_under_jit():
    """What is done to a known array is traced there; its value can still be read."""
    two, half = jnp.array(2), jnp.array(2.5)
    assert jax.jit(lambda x: x + bound.warm_start(two).steps)(1) == 3
    with pytest.raises(ValueError, match=r"2\.5"):
        jax.jit(lambda x: x + inspect.unwrap(bound.warm_start)(half).steps)(1)
