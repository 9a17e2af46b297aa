"""What holds for every name: the base, the decay, dtypes, tracing, refusals."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import wdjax
from tests.optimizers.problem import (
    ALPHA,
    COUPLED,
    DECOUPLED,
    ENTRANCES,
    ETA,
    EVERY,
    LAM,
    PAIRS,
    RATES,
    STEPS,
    THETA,
    run,
    scalars,
    schedule,
)
from wdjax import check, optimizers
from wdjax.testing import assert_divergent

every = pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
# Adams' decay is one number for all leaves; the others treat each leaf alone.
LEAF_BY_LEAF = [make for make in EVERY if make is not optimizers.adams]
leaf_by_leaf = pytest.mark.parametrize(
    "make", LEAF_BY_LEAF, ids=lambda make: make.__name__
)
decoupled = pytest.mark.parametrize("make", DECOUPLED, ids=lambda make: make.__name__)
PARAMS = {name: jnp.asarray(THETA[name]) for name in ("bias", "kernel")}
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)
ONLY_KERNEL = wdjax.where.by_path({"kernel": 1.0}, default=0.0)
DTYPES = [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64]

BASES = {
    "sgd": optax.sgd(ALPHA),
    "sgd velocity": optax.sgd(ALPHA),
    "adam": optax.adam(ALPHA),
    "nadam": optax.nadam(ALPHA),
    "radam": optax.radam(ALPHA),
    "adamax": optax.adamax(ALPHA),
    "rmsprop": optax.rmsprop(ALPHA),
    "adagrad": optax.adagrad(ALPHA),
    "lion": optax.lion(ALPHA, weight_decay=0.0),
    "muon": optax.contrib.muon(ALPHA),
    "adafactor": optax.adafactor(ALPHA),
}
ZERO = (
    [(make, BASES[name]) for name, pair in PAIRS.items() for make in pair]
    + [(make, optax.adam(ALPHA)) for make in ENTRANCES]
    + [(optimizers.lamb, optax.lamb(ALPHA)), (optimizers.lars, optax.lars(ALPHA))]
)


def test_every_public_name_is_under_test():
    helpers = {"Entrances", "scale_by_adam_l2"}
    assert {make.__name__ for make in EVERY} == set(optimizers.__all__) - helpers


@pytest.mark.parametrize(
    ("make", "base"), ZERO, ids=lambda x: getattr(x, "__name__", "")
)
def test_no_decay_is_the_base_bitwise(make, base):
    chex.assert_trees_all_equal(run(make(ALPHA, 0.0), 3), run(base, 3))


THEIRS = {
    "nadamw": (optimizers.nadamw, optax.nadamw),
    "adamaxw": (optimizers.adamaxw, optax.adamaxw),
    "lionw": (optimizers.lionw, optax.lion),
}


@pytest.mark.parametrize(("ours", "theirs"), THEIRS.values(), ids=THEIRS)
def test_the_default_convention_is_the_decay_of_optax(ours, theirs):
    chex.assert_trees_all_close(
        run(ours(schedule, LAM)), run(theirs(schedule, weight_decay=LAM)), rtol=1e-12
    )


ALIASES = {
    **{
        make: getattr(optax, name.split()[0], None)
        for name, pair in PAIRS.items()
        for make in pair
    },
    optimizers.muon_l2: optax.contrib.muon,
    optimizers.muonw: optax.contrib.muon,
    **dict.fromkeys((*ENTRANCES, optimizers.scale_by_adam_l2), optax.adam),
    optimizers.lamb: optax.lamb,
    optimizers.lars: optax.lars,
    optimizers.adams: optax.adam,
    optimizers.sgds: optax.sgd,
}
OURS = {"convention", "where", "stacked", "peak_learning_rate"}
RENAMED = {"decay_exponent": "decay_rate"}


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize("make", ALIASES, ids=lambda make: make.__name__)
def test_the_defaults_are_those_of_optax(make):
    """Two differ: no momentum is 0.0 and not None, and Optax has no dampening."""
    theirs = defaults(ALIASES[make])
    if ALIASES[make] is optax.sgd:
        theirs |= {"momentum": 0.0, "dampening": 0.0}
    for name, default in defaults(make).items():
        if name not in OURS:
            assert default == theirs[RENAMED.get(name, name)], name


OPTIONS = {
    "adafactor": (optax.adafactor, {"factored": False, "min_dim_size_to_factor": 2}),
    "muon": (optax.contrib.muon, {"ns_coeffs": (2.0, -1.5, 0.5)}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_the_base_is_passed_on(name):
    base, options = OPTIONS[name]
    theirs = run(base(ALPHA, **options), 3)
    rest = {k: v for k, v in options.items() if k == "min_dim_size_to_factor"}
    plain = run(base(ALPHA, **rest), 3)
    assert np.abs(theirs["kernel"] - plain["kernel"]).max() > 1e-3
    for make in PAIRS[name]:
        chex.assert_trees_all_close(
            run(make(ALPHA, 0.0, **options), 3), theirs, rtol=1e-12
        )


def test_optax_gives_muon_two_decays_and_muonw_has_one():
    both = {"weight_decay": LAM, "adam_weight_decay": LAM}
    theirs = optax.contrib.muon(schedule, **both)
    ours = run(optimizers.muonw(schedule, LAM))
    chex.assert_trees_all_close(ours, run(theirs), rtol=1e-12)
    ours = run(optimizers.muonw(schedule, LAM, where=wdjax.where.matrices))
    matrices = optax.contrib.muon(schedule, weight_decay=LAM)
    np.testing.assert_allclose(ours["bias"], run(matrices)["bias"], rtol=1e-12)


def test_the_decay_of_optax_adafactor_is_the_constant_convention():
    theirs = optax.adafactor(schedule, weight_decay_rate=0.1, momentum=0.9)
    hypers = {"convention": wdjax.CONSTANT, "peak_learning_rate": ALPHA}
    ours = optimizers.adafactorw(schedule, 0.1, momentum=0.9, **hypers)
    chex.assert_trees_all_close(run(ours), run(theirs), rtol=1e-12)


DELTAS = {
    "OPTAX": (wdjax.OPTAX, LAM * RATES),
    "PAPER": (wdjax.PAPER, LAM * ETA),
    "CONSTANT": (wdjax.CONSTANT, np.full(STEPS, LAM)),
    "CORRECTED": (wdjax.CORRECTED, LAM * RATES * ETA),
    "SQUARED": (wdjax.SQUARED, LAM * RATES**2),
}


@decoupled
@pytest.mark.parametrize("name", DELTAS)
def test_at_zero_gradient_the_weights_shrink_by_the_product(make, name):
    """θ_t = θ_0 Π(1 − δ_s) through a warm-up from 0."""
    convention, delta = DELTAS[name]
    optimizer = make(schedule, LAM, convention=convention, peak_learning_rate=ALPHA)
    path = run(optimizer, 5, PARAMS, lambda theta, t: jnp.zeros_like(theta))
    for leaf in PARAMS:
        theta = THETA[leaf]
        shrinking = np.cumprod(1 - delta[:5]).reshape(-1, *(1,) * theta.ndim)
        # A rounding or two a step.
        np.testing.assert_allclose(path[leaf], shrinking * theta, rtol=1e-14)


@pytest.mark.parametrize("name", PAIRS)
def test_the_places_part_unless_it_is_plain_sgd(name):
    """δ = αλ₂ in both; over 20 steps of the default problem."""
    front, behind = (make(0.02, LAM) for make in PAIRS[name])
    if name.startswith("sgd"):
        wdjax.testing.assert_equivalent(front, behind, steps=20)
        front, behind = (make(0.02, LAM, momentum=0.9) for make in PAIRS[name])
    assert_divergent(front, behind, at_least=0.02, steps=20)


@leaf_by_leaf
def test_the_rule_decides_which_leaves_are_pulled(make):
    lam = 30 * LAM if make is optimizers.lion_l2 else LAM  # a sign must be turned
    ruled = run(make(ALPHA, lam, where=ONLY_KERNEL), 2, PARAMS)
    without, everywhere = (run(make(ALPHA, m * lam), 2, PARAMS) for m in (0.0, 1.0))
    np.testing.assert_array_equal(ruled["bias"], without["bias"])
    np.testing.assert_array_equal(ruled["kernel"], everywhere["kernel"])
    for leaf in PARAMS:
        assert (everywhere[leaf] != without[leaf]).any()


MIXED = {jnp.dtype(d).name: jnp.asarray(THETA["kernel"], d) for d in DTYPES}
RATE_KINDS = {"python": ALPHA, "array": jnp.float64(ALPHA), "schedule": schedule}


def carried(make, rate, hypers):
    """A scan's carry before and after two steps: shapes and dtypes only."""

    def steps(hypers):
        optimizer = make(rate, LAM, **hypers)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(params, state, params)
            return (optax.apply_updates(params, updates), state), updates

        carry = (MIXED, optimizer.init(MIXED))
        return carry, *jax.lax.scan(step, carry, None, 2)

    return jax.eval_shape(steps, hypers)


@every
@pytest.mark.parametrize("kind", RATE_KINDS)
def test_updates_keep_the_dtypes_of_the_leaves(make, kind):
    _, _, updates = carried(make, RATE_KINDS[kind], {})
    assert {name: u.dtype.name for name, u in updates.items()} == {n: n for n in MIXED}


@every
def test_traced_hyper_parameters_widen_neither_state_nor_updates(make):
    """float64 β, ε and all else, moments from bfloat16 to float64."""
    hypers = {name: jnp.asarray(value) for name, value in scalars(make).items()}
    before, after, updates = carried(make, jnp.float64(ALPHA), hypers)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    assert {name: u.dtype.name for name, u in updates.items()} == {n: n for n in MIXED}


def rounding(make):
    """Adafactor's 1 − t^(−c) is a float32 where c is a Python number: 6e-8 off."""
    return 1e-7 if "adafactor" in make.__name__ else 1e-12


@every
def test_member_i_of_a_vmapped_grid_is_run_i(make):
    """Over α and λ, all other hyper-parameters traced too."""
    alphas, lams = jnp.array([0.01, 0.05]), jnp.array([0.0, 2.0])
    hypers = {name: jnp.full(2, value) for name, value in scalars(make).items()}
    members = jax.vmap(lambda a, lam, h: run(make(a, lam, **h), 2, PARAMS))
    grid = members(alphas, lams, hypers)
    for i in range(2):
        alone = run(make(float(alphas[i]), float(lams[i])), 2, PARAMS)
        member = jax.tree.map(lambda x, i=i: x[i], grid)
        chex.assert_trees_all_close(member, alone, rtol=rounding(make))


@every
def test_a_leaf_without_gradient_has_no_update_and_keeps_its_state(make):
    """None in the gradients: the structure of the state stays, for a scan."""
    optimizer, kernel = make(ALPHA, LAM), {"kernel": PARAMS["kernel"]}
    state = before = optimizer.init(PARAMS)
    alone = optimizer.init(kernel)
    with jax.disable_jit():
        for _ in range(2):
            u, state = optimizer.update({**PARAMS, "bias": None}, state, PARAMS)
            expected, alone = optimizer.update(kernel, alone, kernel)
    assert u["bias"] is None
    chex.assert_trees_all_equal_shapes_and_dtypes(state, before)
    np.testing.assert_array_equal(u["kernel"], expected["kernel"])


@leaf_by_leaf
def test_wrappers_of_optax_leave_it_as_it_is(make):
    """Injected, masked and partitioned: the leaf that is trained takes its path."""
    kernel, names = {"kernel": PARAMS["kernel"]}, ("ns_steps", "min_dim_size_to_factor")
    alone = run(make(schedule, LAM), 2, kernel)["kernel"]
    groups = {"train": make(schedule, LAM), "rest": optax.set_to_zero()}
    static = [name for name in names if name in inspect.signature(make).parameters]
    for optimizer in (
        optax.inject_hyperparams(make, static_args=static)(schedule, LAM),
        optax.masked(make(schedule, LAM), {"bias": False, "kernel": True}),
        optax.partition(groups, {"bias": "rest", "kernel": "train"}),
    ):
        wrapped = run(optimizer, 2, PARAMS)["kernel"]
        np.testing.assert_allclose(wrapped, alone, rtol=rounding(make))


@every
def test_map_params_reaches_the_moments_of_the_matrices(make):
    optimizer = make(schedule, optax.constant_schedule(LAM))
    state = optimizer.init(PARAMS)
    ones = optax.tree.map_params(optimizer, jnp.ones_like, state)
    shapes = [x.shape for x in jax.tree.leaves(ones) if x.all() and x.ndim > 1]
    moments = [x.shape for x in jax.tree.leaves(state) if x.ndim > 1]
    assert shapes == moments


@every
@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, jnp.array(-0.1)])
def test_a_bad_rate_is_refused_by_name(make, bad):
    name = "l2" if make in (*COUPLED, *ENTRANCES) else "weight_decay"
    with pytest.raises(ValueError, match=r"learning_rate is .*; it must be"):
        make(bad, LAM)
    with pytest.raises(ValueError, match=f"{name} is .*; it must be finite"):
        make(ALPHA, bad)


FACTORS = ("momentum", "b1", "b2", "decay", "beta", "adam_b1", "adam_b2")


@every
def test_a_factor_of_one_is_refused_by_name(make):
    for name in set(FACTORS) & set(inspect.signature(make).parameters):
        with pytest.raises(ValueError, match=f"^{name} is 1; it must be .* below 1"):
            make(ALPHA, LAM, **{name: 1.0})


SIZES = ("eps", "eps_scale", "decay_exponent", "weight_decay_mask", "threshold")
SIZES += ("initial_accumulator_value", "initial_scale", "trust_coefficient")


@every
def test_a_negative_size_is_refused_by_name(make):
    for name in set(SIZES) & set(inspect.signature(make).parameters):
        with pytest.raises(ValueError, match=f"^{name} is -1; it must be "):
            make(ALPHA, LAM, **{name: -1.0})


@every
@pytest.mark.usefixtures("untyped")
def test_a_schedule_for_a_size_is_refused_by_name(make):
    sizes = (*SIZES, "consistent_rms", "clipping_threshold", "peak_learning_rate")
    for name in set(sizes) & set(inspect.signature(make).parameters):
        if name == "weight_decay_mask":
            continue
        with pytest.raises(ValueError, match=f"^{name} is the schedule .*; give a nu"):
            make(ALPHA, LAM, **{name: schedule})


def test_radams_least_threshold_is_taken():
    optimizers.radamw(ALPHA, LAM, threshold=4.0)


def test_an_array_that_is_known_is_looked_at_also_under_jit():
    """A comparison of arrays would be traced there."""
    low, high = jnp.array(3.0), jnp.array(5.0)
    jax.jit(lambda: optimizers.radamw(ALPHA, LAM, threshold=high).init(PARAMS))()
    with pytest.raises(ValueError, match="threshold is 3; below 4"):
        jax.jit(lambda: optimizers.radamw(ALPHA, LAM, threshold=low).init(PARAMS))()


def test_the_rate_that_is_refused_is_the_one_that_was_given():
    """And not its product with momentum's gain."""
    with pytest.raises(ValueError, match=r"learning_rate is -0\.1;"):
        optimizers.sgds(-0.1, LAM, momentum=0.5)


def test_a_schedule_for_a_factor_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"b1 is the schedule .*inject_hyperparams"):
        check.below_one("b1", schedule)


def test_an_option_without_effect_or_sense_is_refused():
    with pytest.raises(ValueError, match="nesterov is True and momentum is None"):
        optimizers.rmsprop_l2(ALPHA, LAM, nesterov=True)
    with pytest.raises(ValueError, match="threshold is 3; below 4"):
        optimizers.radamw(ALPHA, LAM, threshold=3.0)
    with pytest.raises(ValueError, match="clipping_threshold is 0; it must be larger"):
        optimizers.adafactorw(ALPHA, LAM, clipping_threshold=0.0)


@pytest.mark.parametrize("make", [*COUPLED, *DECOUPLED], ids=lambda m: m.__name__)
def test_missing_params_are_refused(make):
    optimizer = make(ALPHA, LAM)
    with pytest.raises(ValueError, match=r"needs the parameters|current value"):
        optimizer.update(ZEROS, optimizer.init(PARAMS))
