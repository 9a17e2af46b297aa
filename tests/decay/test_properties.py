"""What holds for every choice along the axes, and for any numbers."""

import collections
import functools
import itertools

import chex
import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wdjax

PLACES = {
    "add_l2": wdjax.add_l2,
    "decay_weights": wdjax.decay_weights,
    "decay_weights_after": wdjax.decay_weights_after,
    "decay_weights_proximally": wdjax.decay_weights_proximally,
}
PULLS = {
    "quadratic": wdjax.pull.quadratic,
    "l1": wdjax.pull.l1,
    "1.5-norm": wdjax.pull.p_norm(1.5),
    "4-norm": wdjax.pull.p_norm(4.0),
    "elastic net": wdjax.pull.elastic_net(0.5),
    "hyperbolic": wdjax.pull.hyperbolic(1.0),
    "exponential": wdjax.pull.exponential(1.0),
    "weight elimination": wdjax.pull.weight_elimination(1.0),
}
POINT = {"w": jnp.array([[0.5, 0.0], [-1.0, 2.0]]), "b": jnp.array([3.0, -3.0])}
TARGETS = {
    "origin": wdjax.target.origin,
    "initial": wdjax.target.initial,
    "average": wdjax.target.average(0.9),
    "towards": wdjax.target.towards(POINT),
    "norm": wdjax.target.norm(1.5),
    "initial norm": wdjax.target.initial_norm(0.5),
}
GATES = {
    "always": wdjax.gate.always,
    "cautious": wdjax.gate.cautious(ties=True),
    "stochastic": wdjax.gate.stochastic(0.5, 0),
}
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([4.0, -1.0])}
START = jax.tree.map(lambda p: 0.7 * p + 0.1, PARAMS)


def legal():
    """Every combination that is not refused, as its names and how to make it."""
    for names in itertools.product(PLACES, PULLS, TARGETS, GATES):
        place, pull, target, gate = names
        axes = {
            "pull": PULLS[pull],
            "target": TARGETS[target],
            "gate": GATES[gate],
        }
        try:
            PLACES[place](0.1, **axes)
        except ValueError:
            continue
        yield ", ".join(names), lambda rate, p=place, a=axes: PLACES[p](rate, **a)


LEGAL = dict(legal())
EACH_AXIS = {  # one choice away from plain weight decay, at every place
    name: make
    for name, make in LEGAL.items()
    if sum(n not in ("quadratic", "origin", "always") for n in name.split(", ")) <= 1
}
each_axis = pytest.mark.parametrize("make", EACH_AXIS.values(), ids=EACH_AXIS)


def updates_of(params, t):
    return jax.tree.map(lambda p: 0.1 * jnp.sin(3.0 * p + t), params)


def step(transformation, carry, t):
    """Alone in a chain: what comes in is added to the parameters."""
    params, state = carry
    updates, state = transformation.update(updates_of(params, t), state, params)
    return optax.apply_updates(params, updates), state


def run(transformation, steps=3):
    def body(carry, t):
        return step(transformation, carry, t), None

    carry = (PARAMS, transformation.init(START))
    return jax.lax.scan(body, carry, jnp.arange(steps))[0][0]


def test_most_combinations_are_legal():
    assert len(LEGAL) > 150


def test_a_rate_of_zero_changes_nothing_bitwise():
    updates = updates_of(PARAMS, 0)
    for name, make in LEGAL.items():
        rates = (0.0, jnp.array(0.0), lambda t: 0.0 * t)
        for rate in rates if name in EACH_AXIS else rates[:1]:
            transformation = make(rate)
            state = transformation.init(START)
            passed, _ = transformation.update(updates, state, PARAMS)
            chex.assert_trees_all_equal(passed, updates, custom_message=name)


def test_a_rate_above_zero_changes_something():
    """Or the test above could not fail. Cautious ones may be shut for a leaf."""
    updates = updates_of(PARAMS, 0)
    for name, make in LEGAL.items():
        transformation = make(0.1)
        passed, _ = transformation.update(updates, transformation.init(START), PARAMS)
        if name.startswith("decay") and ", average, " in name:
            continue  # at the first step the average is where the run began
        assert any(
            (a != b).any()
            for a, b in zip(*map(jax.tree.leaves, (passed, updates)), strict=True)
        ), name


@each_axis
def test_jit_is_eager(make):
    transformation = make(0.1)
    carry = (PARAMS, transformation.init(START))
    for t in range(3):
        carry = step(transformation, carry, t)
    # The same operations; only fusion may differ.
    chex.assert_trees_all_close(
        jax.jit(run, static_argnums=0)(transformation), carry[0], rtol=1e-13
    )


@each_axis
def test_member_i_of_a_vmapped_sweep_is_run_i(make):
    rates = jnp.array([0.0, 0.05, 0.3])
    members = jax.jit(jax.vmap(lambda rate: run(make(rate))))(rates)
    one = jax.jit(lambda rate: run(make(rate)))
    for i, rate in enumerate(rates):
        alone = one(rate)
        member = jax.tree.map(lambda x, i=i: x[i], members)
        chex.assert_trees_all_close(member, alone, rtol=1e-13)


@each_axis
def test_update_is_traced_once_and_keeps_its_state(make):
    transformation = make(optax.linear_schedule(0.3, 0.0, 4))
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def once(params, state):
        return step(transformation, (params, state), 0)

    state = transformation.init(params)
    for _ in range(3):
        params, new = once(params, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
        state = new
    chex.assert_trees_all_equal_dtypes(
        params, jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    )


finite = {"allow_nan": False, "allow_infinity": False, "allow_subnormal": False}
# XLA on CPU takes products below 2e-308 for 0: weights that are not 0 stay far above.
numbers = st.floats(-1e6, 1e6, **finite).map(lambda x: x if abs(x) > 1e-280 else 0.0)
vectors = arrays.arrays(np.float64, 4, elements=numbers)


@pytest.mark.parametrize("target", ["origin", "towards", "initial"])
@pytest.mark.parametrize("place", ["decay_weights", "decay_weights_proximally"])
@settings(max_examples=40, deadline=None)
@given(theta=vectors, point=vectors, delta=st.floats(0, 1))
def test_the_distance_to_a_fixed_target_never_grows(place, target, theta, point, delta):
    aims = {
        "origin": (wdjax.target.origin, np.zeros(4)),
        "towards": (wdjax.target.towards(jnp.asarray(point)), point),
        "initial": (wdjax.target.initial, point),
    }
    aim, centre = aims[target]
    decay = PLACES[place](delta, target=aim)
    state = decay.init(jnp.asarray(point))
    updates, _ = decay.update(jnp.zeros(4), state, jnp.asarray(theta))
    after = np.abs(theta + np.asarray(updates) - centre)
    before = np.abs(theta - centre)
    # One rounding of each of three sums, relative to the largest number in them.
    slack = 4 * np.finfo(float).eps * np.maximum(np.abs(theta), np.abs(centre))
    assert (after <= before + slack).all()
    left = 1 - delta if place == "decay_weights" else 1 / (1 + delta)
    np.testing.assert_allclose(after, left * before, rtol=1e-9, atol=4 * slack.max())


@settings(max_examples=60, deadline=None)
@given(theta=vectors, u=vectors, delta=st.floats(0, 1))
def test_decoupled_decay_is_its_formula_for_any_numbers(theta, u, delta):
    decay = wdjax.decay_weights(delta)
    updates, _ = decay.update(jnp.asarray(u), decay.init(theta), jnp.asarray(theta))
    slack = 4 * np.finfo(float).eps * (np.abs(u) + np.abs(theta))
    assert (np.abs(np.asarray(updates) - (u - delta * theta)) <= slack).all()


@settings(max_examples=60, deadline=None)
@given(theta=vectors, u=vectors, delta=st.floats(0, 1))
def test_caution_never_opposes_the_step(theta, u, delta):
    """Entry by entry: the gate is open only where the step moves to the origin too."""
    decay = wdjax.decay_weights(delta, gate=wdjax.gate.cautious(ties=False))
    updates, _ = decay.update(jnp.asarray(u), decay.init(theta), jnp.asarray(theta))
    for got, step, x in zip(np.asarray(updates), u, theta, strict=True):
        same_way = (step > 0 > x) or (step < 0 < x)
        expected = step - delta * x if same_way else step
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-9)


EPS = float(np.finfo(float).eps)
BASES = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.1),
}
ZEROS = {
    "python": lambda: 0.0,
    "array": lambda: jnp.array(0.0),
    "schedule": lambda: optax.constant_schedule(0.0),
}
few = settings(max_examples=15, deadline=None)
each_place = pytest.mark.parametrize("place", PLACES)
# No product of these is so small that a compiler may flush it to 0.
rates = st.floats(0, 1).map(lambda rate: round(rate, 9))


def tree(six):
    six = jnp.asarray(np.round(six, 9) + 0.0)  # no −0.0
    return {"w": six[:4].reshape(2, 2), "b": six[4:]}


trees = arrays.arrays(np.float64, 6, elements=st.floats(-100, 100, **finite)).map(tree)


def one_of(names, place):
    return st.sampled_from([name for name in names if name.split(", ")[0] == place])


def walked(optimizer, params, gradients):
    state = optimizer.init(params)
    for g in gradients:
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


@each_place
@few
@given(data=st.data(), theta=trees, gradients=st.lists(trees, min_size=2, max_size=2))
def test_without_decay_any_run_is_the_bases_bit_for_bit(place, data, theta, gradients):
    """The new weights: a zero update may change its sign, which they do not see."""
    name = data.draw(one_of(LEGAL, place))
    base = BASES[data.draw(st.sampled_from(list(BASES)))]
    pull = LEGAL[name](ZEROS[data.draw(st.sampled_from(list(ZEROS)))]())
    links = (pull, base) if place == "add_l2" else (base, pull)
    ours = walked(optax.chain(*links), theta, gradients)
    theirs = walked(base, theta, gradients)
    for leaf, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        bits, others = (np.asarray(x).view(np.int64) for x in (leaf, other))
        np.testing.assert_array_equal(bits, others, err_msg=name)


traces = collections.Counter()


def moved(name, rate, theta, u):
    """One update, from a start at half of the way."""
    decay = LEGAL[name](rate)
    state = decay.init(jax.tree.map(lambda p: 0.5 * p, theta))
    return decay.update(u, state, theta)[0]


@functools.cache
def compiled(name):
    def counted(rate, theta, u):
        traces[name] += 1
        return moved(name, rate, theta, u)

    return jax.jit(counted)


@functools.cache
def compiled_members(name):
    return jax.jit(jax.vmap(functools.partial(moved, name), (0, None, None)))


def assert_equal_but_for_roundings(updates, others, theta, u):
    """The same operations, some of them fused: roundings of what is summed."""
    for got, expected, *summed in zip(
        *map(jax.tree.leaves, (updates, others, theta, u)), strict=True
    ):
        size = sum(np.abs(x) for x in (expected, *summed))
        # A norm sums four squares, in any order; all else rounds a few times.
        assert (np.abs(got - expected) <= 16 * EPS * size.max()).all()


@each_place
@few
@given(data=st.data(), theta=trees, u=trees, rate=rates)
def test_jit_is_eager_and_traced_once_for_any_numbers(place, data, theta, u, rate):
    name = data.draw(one_of(EACH_AXIS, place))
    jitted = compiled(name)(rate, theta, u)
    assert_equal_but_for_roundings(jitted, moved(name, rate, theta, u), theta, u)
    compiled(name)(rate / 2, u, theta)
    assert traces[name] == 1


@each_place
@few
@given(data=st.data(), theta=trees, u=trees, sweep=st.tuples(rates, rates, rates))
def test_member_i_of_a_sweep_is_run_i_for_any_numbers(place, data, theta, u, sweep):
    name = data.draw(one_of(EACH_AXIS, place))
    members = compiled_members(name)(jnp.array(sweep), theta, u)
    for i, rate in enumerate(sweep):
        member = jax.tree.map(lambda x, i=i: x[i], members)
        alone = compiled(name)(rate, theta, u)
        assert_equal_but_for_roundings(member, alone, theta, u)


@jax.jit
def swept(alpha, lam, p, theta, g):
    traces["swept"] += 1
    pull = wdjax.pull.p_norm(p)
    decay = wdjax.decay_weights(wdjax.decay_rate(lam, alpha), pull=pull)
    optimizer = optax.chain(optax.sgd(alpha), decay)
    return optimizer.update(g, optimizer.init(theta), theta)[0]


@few
@given(theta=trees, g=trees, alpha=rates, lam=rates, p=st.floats(1, 4))
def test_one_trace_serves_any_hyper_parameters(theta, g, alpha, lam, p):
    """−αg − αλ sign(θ)|θ|ᵖ⁻¹, by hand."""
    updates = swept(alpha, lam, p, theta, g)
    assert traces["swept"] == 1
    for leaf, update in updates.items():
        x, step = np.asarray(theta[leaf]), alpha * np.asarray(g[leaf])
        pulled = alpha * lam * np.sign(x) * np.abs(x) ** (p - 1)
        # The power is right to an ulp or two; products and sums round once each.
        slack = 16 * EPS * (np.abs(step) + np.abs(pulled))
        assert (np.abs(update + step + pulled) <= slack).all()
