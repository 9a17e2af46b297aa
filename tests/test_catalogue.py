"""The table of decays: every row can be made, and every decay has a row."""

import inspect
import re

import jax
import jax.numpy as jnp
import optax
import pytest

import wdjax
from wdjax import catalogue

PARAMS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
BLOCKS = {"blocks": {"0": {"kernel": jnp.ones(2)}, "1": {"kernel": jnp.ones(2)}}}
SYMBOLS = {
    "wdjax": wdjax,
    "optax": optax,
    "α": 0.1,
    "λ": 0.1,
    "δ": 0.1,
    "w": {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.full(2, 0.5)},
    "c": {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.full(2, 0.5)},
}
NO_DECAYS = ("audit", "convert", "decay_rate", "doctor", "l2_penalty", "probe")
CODES = [row.code for row in catalogue.ROWS]


def end_of_the_row(code, strength):
    """The weights after three steps with this λ and δ; half of them step outwards."""
    made = eval(code, SYMBOLS | {"λ": strength, "δ": strength})
    if not isinstance(made, optax.GradientTransformation):
        made = wdjax.decay_weights(made)
    if "add_l2" in code or "l2_sp" in code:
        made = optax.chain(made, optax.scale(-1.0))
    return walked(made, BLOCKS if "blocks" in code else PARAMS)


def walked(optimizer, params):
    state = optimizer.init(params)
    for _ in range(3):
        g = jax.tree.map(outwards_and_inwards, params)
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


def outwards_and_inwards(theta):
    return 0.02 * (-1.0) ** jnp.arange(theta.size).reshape(theta.shape)


def kernels(params):
    return [
        leaf
        for path, leaf in jax.tree.leaves_with_path(params)
        if path[-1].key == "kernel"
    ]


@pytest.mark.parametrize("row", catalogue.ROWS, ids=lambda row: row.decay)
def test_every_row_makes_a_decay(row):
    """Of the same steps, those of the row with λ = δ = 0, the weights end shorter.

    Rows without λ and δ, a norm's and a timescale's, shorten the steps' own path.
    """
    ends = kernels(end_of_the_row(row.code, 0.1))
    if {"λ", "δ"} & set(row.code):
        free = kernels(end_of_the_row(row.code, 0.0))
    else:
        free = kernels(walked(optax.identity(), PARAMS))
    for end, without in zip(ends, free, strict=True):
        assert jnp.vdot(end, end) < (1 - 1e-6) * jnp.vdot(without, without)


def test_every_decay_has_a_row():
    """Every public function that makes a transformation, and every axis' choice."""
    mentioned = set(re.findall(r"\w+", " ".join(CODES)))
    mentioned |= {name for pair in catalogue.PAIRS for name in pair[1:]}
    # What makes these rows, not rows of their own.
    mentioned |= {"with_l2", "with_weight_decay", "scale_by_adam_l2", "adams"}
    for name in wdjax.__all__:
        thing = getattr(wdjax, name)
        if inspect.isfunction(thing) and name not in NO_DECAYS:
            assert name in mentioned, name
    choices = ("quadratic", "origin", "always", "norm")  # the defaults, and a twin
    for axis in (wdjax.pull, wdjax.target, wdjax.gate):
        for name, thing in vars(axis).items():
            public = not name.startswith("_") and name[0].islower()
            own = getattr(thing, "__module__", "").startswith("wdjax.decay")
            if public and own and not inspect.ismodule(thing) and name not in choices:
                assert name in mentioned, f"{axis.__name__}.{name}"


def test_the_pairs_are_all_there_are():
    named = {name for _, *pair in catalogue.PAIRS for name in pair}
    found = {n for n in wdjax.__all__ if n.endswith("_l2") and "_" in n[:-2]}
    found -= {"add_l2", "with_l2", "scale_by_adam_l2"}
    assert found == {name for name in named if name.endswith("_l2")}
    for _, l2, decay in catalogue.PAIRS:
        assert callable(getattr(wdjax, l2))
        assert callable(getattr(wdjax, decay))


def test_a_table_has_a_line_for_every_row():
    assert len(catalogue.as_markdown().splitlines()) == 2 + len(catalogue.ROWS)
    assert all(
        line.count(" | ") == 4 for line in catalogue.as_markdown().splitlines()[2:]
    )


@pytest.mark.parametrize(
    ("letter", "decays"),
    {
        "q": ["p-norm decay"],
        "ρ₁": ["elastic net"],
        "π": ["stochastic decay"],
        "t₀": ["early-only decay", "late-only decay"],
        "c": ["decay towards a given point"],
        "R": ["constrained parameter regularisation (CPR)"],
        "r": ["decay inside the trust ratio"],
    }.items(),
)
def test_a_letter_means_one_thing_in_the_table(letter, decays):
    """What a row's parameter is called is no other row's, nor the header's."""
    word = re.compile(rf"\b{letter}\b")
    assert [row.decay for row in catalogue.ROWS if word.search(row.update)] == decays


def test_p_is_the_point_that_the_step_leads_to():
    """Never an exponent or a probability."""
    updates = [row.update for row in catalogue.ROWS]
    assert not [u for u in updates if re.search(r"\^\(?p|/p\)|Bernoulli\(p", u)]
