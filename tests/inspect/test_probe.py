"""The probe changes nothing, and what it reads is what NumPy finds by hand."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from tests.inspect.paths import (
    ALPHA,
    LAM,
    LOSS,
    arguments,
    gradients,
    rows,
    thetas,
    update,
)
from wdjax.inspect import parts, probe, readings

B1, B2, EPS = 0.9, 0.999, 1e-8


def same_bits(a, b):
    def numbers(x):
        is_key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return all(
        np.array_equal(numbers(x), numbers(y), equal_nan=True)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def walk(optimizer, steps=4):
    """Given weights and gradients, step by step: what the probe reads of each."""
    state, seen = optimizer.init(thetas(0)), []
    for t in range(steps):
        _, state = optimizer.update(gradients(t), state, thetas(t))
        seen.append({name: float(x) for name, x in readings(state).items()})
    return seen


def by_hand(theta, d, s):
    """What there is to read of one leaf, from its two parts."""
    u = d + s
    theta, u, d, s = (np.ravel(x) for x in (theta, u, d, s))
    norm = np.linalg.norm
    lengths = norm(d) * norm(s)
    cosine = (theta @ (theta + u)) / (norm(theta) * norm(theta + u))
    return {
        "norm": norm(theta),
        "update_norm": norm(u),
        "decay_norm": norm(d),
        "step_norm": norm(s),
        "cosine": d @ s / lengths if lengths else 0.0,
        "rotation": np.arccos(np.clip(cosine, -1, 1)),
        "decay_rate": -(d @ theta) / (theta @ theta),
    }


# Each returns the decay's and the gradient's part of step t on one leaf, in NumPy.
def mean(decay, values):
    """Adam's average of what came in, without its start from 0."""
    total = 0.0
    for value in values:
        total = decay * total + (1 - decay) * value
    return total / (1 - decay ** len(values))


def adamw_by_hand(g, theta):
    r = mean(B1, g) / (np.sqrt(mean(B2, [x**2 for x in g])) + EPS)
    return -ALPHA * LAM * theta[-1], -ALPHA * r


def adam_l2_by_hand(g, theta):
    both = [x + LAM * p for x, p in zip(g, theta, strict=True)]
    root = np.sqrt(mean(B2, [x**2 for x in both])) + EPS
    return -ALPHA * LAM * mean(B1, theta) / root, -ALPHA * mean(B1, g) / root


def sgd_l2_by_hand(g, theta):
    weights = B1 ** np.arange(len(g))[::-1]

    def trace(values):
        return sum(w * x for w, x in zip(weights, values, strict=True))

    return -ALPHA * LAM * trace(theta), -ALPHA * trace(g)


def nesterov_l2_by_hand(g, theta):
    d, s = sgd_l2_by_hand(g, theta)
    return B1 * d - ALPHA * LAM * theta[-1], B1 * s - ALPHA * g[-1]


def lionw_by_hand(g, theta):
    m = 0.0
    for past in g[:-1]:
        m = 0.99 * m + 0.01 * past
    return -ALPHA * LAM * theta[-1], -ALPHA * np.sign(0.9 * m + 0.1 * g[-1])


def rmsprop_l2_by_hand(g, theta):
    v = 0.0
    for x, p in zip(g, theta, strict=True):
        v = 0.9 * v + 0.1 * (x + LAM * p) ** 2
    root = np.sqrt(v + 1e-8)
    return -ALPHA * LAM * theta[-1] / root, -ALPHA * g[-1] / root


OURS = functools.partial(wdjax.adam_l2, ALPHA, LAM)
FORMULAS = {
    "adamw": (wdjax.adamw(ALPHA, LAM), adamw_by_hand),
    "optax.adamw": (optax.adamw(ALPHA, weight_decay=LAM), adamw_by_hand),
    "adam_l2": (OURS(), adam_l2_by_hand),
    "masked adam_l2": (OURS(where={"kernel": 1, "bias": 1}), adam_l2_by_hand),
    "sgd_l2": (wdjax.sgd_l2(ALPHA, LAM, momentum=B1), sgd_l2_by_hand),
    "nesterov": (
        wdjax.sgd_l2(ALPHA, LAM, momentum=B1, nesterov=True),
        nesterov_l2_by_hand,
    ),
    "lionw": (wdjax.lionw(ALPHA, LAM, b1=0.9, b2=0.99), lionw_by_hand),
    "optax rmsprop": (
        optax.chain(
            optax.add_decayed_weights(LAM), optax.rmsprop(ALPHA, decay=0.9, eps=1e-8)
        ),
        rmsprop_l2_by_hand,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_read_is_what_numpy_finds(name):
    optimizer, formula = FORMULAS[name]
    seen = walk(probe(optimizer, every=1, split_momentum=True))
    budget = {"kernel": 0.0, "bias": 0.0}
    for t, row in enumerate(seen):
        for leaf in ("kernel", "bias"):
            g = [gradients(i)[leaf] for i in range(t + 1)]
            theta = [thetas(i)[leaf] for i in range(t + 1)]
            expected = by_hand(theta[-1], *formula(g, theta))
            budget[leaf] += expected["decay_rate"]
            expected["budget"] = budget[leaf]
            for field, value in expected.items():
                # arccos near 1 loses half of the digits; a rounding of v̂ is 1e-16.
                atol = 1e-7 if field == "rotation" else 1e-13
                np.testing.assert_allclose(
                    row[f"{leaf}.{field}"], value, rtol=1e-10, atol=atol, err_msg=field
                )


@pytest.mark.parametrize("name", FORMULAS)
def test_the_parts_sum_to_the_update(name):
    """The step is a call of its own: its own parts, by hand, and not the difference."""
    optimizer, formula = FORMULAS[name]
    inner = optax.with_extra_args_support(optimizer)
    state = inner.init(thetas(0))
    shares = {
        k: jnp.zeros_like(jax.tree.leaves(state)[k]) for k in parts.momenta(state)
    }
    for t in range(4):
        call = parts.Call(gradients(t), state, thetas(t), {})
        facts = parts.facts(inner, call, through=True)
        assert all(facts.known)
        us, steps = parts.split(inner, call, facts, shares)
        shares |= parts.next_shares(inner, call, facts, shares)
        u, state = inner.update(gradients(t), state, thetas(t))
        for i, leaf in enumerate(("bias", "kernel")):  # as JAX sorts them
            g = [gradients(k)[leaf] for k in range(t + 1)]
            theta = [thetas(k)[leaf] for k in range(t + 1)]
            d, s = formula(g, theta)
            np.testing.assert_allclose(us[i], u[leaf], rtol=0, atol=0)
            np.testing.assert_allclose(d + s, u[leaf], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(steps[i], s, rtol=1e-12, atol=1e-13)


@functools.cache
def probed_walk(row):
    """A row of the tables through a probe: its updates, those without, the readings."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        plain, optimizer = row.make(ALPHA, LAM), probe(row.make(ALPHA, LAM), every=1)
        params = arguments(row, gradients(0), thetas(0))[0]
        bare, state = plain.init(params), optimizer.init(params)
        pairs, seen = [], []
        for t in range(max(2, row.every)):
            given = (gradients(t), thetas(t), LOSS)
            expected, bare = update(row, plain, bare, *given)
            found, state = update(row, optimizer, state, *given)
            pairs.append((found, expected))
            seen.append({k: float(v) for k, v in readings(state).items()})
    return pairs, (state.inner, bare), seen


@rows(lambda row: True)
def test_every_row_goes_through_bit_for_bit(row):
    pairs, states, _ = probed_walk(row)
    for pair in (*pairs, states):
        assert same_bits(*pair)


# A norm is taken of the weights; flatten puts all leaves into one; or the step before
# the decay is that of an optimizer which remembers weights.
NOT_TOLD = {
    "optax.adafactor",
    "optax.fromage",
    "optax.contrib.momo",
    "optax.contrib.momo_adam",
    "flatten(adamw)",
    "chain(adamw, clip_by_global_norm that never clips)",
    "chain(scale_by_adam, scale_by_trust_ratio, add_decayed_weights, lr)",
    "chain(schedule_free_adamw, add_decayed_weights of -δ)",
}


@rows(lambda row: row.rate is not None)
def test_a_decoupled_rate_is_what_is_realised(row):
    """In the first step that is taken; where it is not known, NaN and no number."""
    seen = probed_walk(row)[2][row.every - 1]
    for leaf, multiple in row.decays._asdict().items():
        realised = seen[f"{leaf}.decay_rate"]
        if row.name in NOT_TOLD:
            assert np.isnan(realised)
            assert np.isnan(seen[f"{leaf}.budget"])
        else:
            expected = multiple * row.rate(ALPHA, LAM)
            np.testing.assert_allclose(realised, expected, rtol=1e-9, atol=1e-13)


TOLD = {
    "chain(add_decayed_weights, sign_sgd)",  # without a memory: a sign turns or not
    "chain(scale_by_adam, add_decayed_weights, centralize, lr)",  # of matrices alone
}


@rows(lambda row: row.kind in ("trust", "norm", "target") or row.kind == "coupled")
def test_no_split_is_claimed_of_what_has_none(row):
    """Of a norm of the weights, or of a state that holds some."""
    if row.name in TOLD:
        pytest.skip("the split is exact, of one leaf or more")
    for numbers in probed_walk(row)[2]:
        for name, value in numbers.items():
            of_parts = name.rsplit(".", 1)[1] not in ("norm", "update_norm", "rotation")
            assert np.isnan(value) == of_parts, name


@rows(lambda row: row.kind == "none")
def test_without_decay_nothing_decays(row):
    for numbers in probed_walk(row)[2]:
        for name, value in numbers.items():
            if name.endswith(("decay_norm", "decay_rate", "budget", "cosine")):
                assert value == 0
