"""The lists are complete, what wrappers do, and how the refused are recognised."""

import inspect
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import wdjax
from wdjax.decay import support

L2 = 0.5
H = np.array([[2.0, 0.4, 0.0], [0.4, 1.0, -0.3], [0.0, -0.3, 0.5]])
OPTIMUM = np.array([1.0, -2.0, 1.5])
START = np.array([-1.0, 1.0, 2.0])
RIDGE = np.linalg.solve(H + L2 * np.eye(3), H @ OPTIMUM)  # (H + λI)⁻¹Hθ*
SGD = optax.sgd(0.1)
RADIUS = 0.01
ASCENT = optax.chain(contrib.normalize(), optax.sgd(RADIUS))


def bare(name):
    return name.removeprefix("contrib.").partition("(")[0]


def module_of(function):
    return getattr(getattr(function, "func", function), "__module__", "")


def shipped():
    """The optimizers of the installed Optax: aliases, wrappers, contributions."""
    aliases = {n for n in dir(optax) if module_of(getattr(optax, n)) == ALIASES}
    wrappers = {n for n in dir(optax) if takes_an_optimizer(getattr(optax, n))}
    contributed = {
        n
        for n in dir(contrib)
        if inspect.isfunction(getattr(contrib, n)) and not n.startswith("scale_by_")
    }
    return (aliases | wrappers | contributed) - NO_OPTIMIZERS


def takes_an_optimizer(function):
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a constant, a builtin
        return False
    return any("GradientTransformation" in str(a.annotation) for a in arguments)


ALIASES = "optax._src.alias"
PASS_ON = {"chain", "named_chain", "partition", "multi_transform", "masked", "flatten"}
PASS_ON |= {"conditionally_transform", "inject_hyperparams", "selective_transform"}
PASS_ON |= {"inject_stateful_hyperparams", "monitor", "with_extra_args_support"}
HELPERS = {"differentially_private_aggregate", "hutchinson_estimator_diag_hessian"}
HELPERS |= {"normalize", "schedule_free_eval_params"}
NO_OPTIMIZERS = PASS_ON | HELPERS
ROWS = (*support.SOUND, *support.CONDITIONAL, *support.REFUSED)


def test_every_optimizer_that_optax_ships_is_in_a_list_for_each_place():
    for place in support.CALLERS:
        missing = shipped() - {bare(row.name) for row in ROWS if row.place == place}
        assert not missing, f"put {sorted(missing)} in a list for {place}"


def test_no_optimizer_has_two_verdicts_at_one_place():
    verdicts = [(row.name, row.place) for row in ROWS]
    assert len(verdicts) == len(set(verdicts))
    assert {place for _, place in verdicts} == set(support.CALLERS)


def test_the_table_has_every_optimizer_once():
    head, rule, *body = support.as_markdown().splitlines()
    assert head == "| optimizer | `with_l2` | `with_weight_decay` |"
    assert rule == "| --- | --- | --- |"
    assert all(line.count("|") == 4 for line in (head, rule, *body))
    listed = [
        n for line in body for n in line.split("|")[1].replace("`", "").split(",")
    ]
    assert sorted(n.strip() for n in listed) == sorted({row.name for row in ROWS})
    dog = next(line for line in body if "`contrib.dog`" in line)
    assert "| sound | refused: its step grows" in dog
    one_sided = next(line for line in body if "(store_grad=True)`" in line)
    assert "store_grad=True)` | — | refused: it keeps value and" in one_sided


def shrunk(optimizer, gradients):
    """What is left of a weight of 1 after these gradients."""
    theta = jnp.ones(())
    state = optimizer.init(theta)
    for g in gradients:
        u, state = optimizer.update(jnp.array(g), state, theta)
        theta = optax.apply_updates(theta, u)
    return float(theta)


def first_of_four(step):
    return step % 4 == 0


SKIPPERS = {
    "MultiSteps": lambda o: optax.MultiSteps(o, 4).gradient_transformation(),
    "apply_if_finite": lambda o: optax.apply_if_finite(o, 9),
    "conditionally_mask": lambda o: optax.conditionally_mask(o, first_of_four),
}


@pytest.mark.parametrize("name", SKIPPERS)
def test_decay_acts_where_no_step_is_taken_unless_it_is_inside(name):
    """2 steps in 8 calls: the decay behind counts 8, inside 2."""
    gradients = [0.0] * 8
    if name == "apply_if_finite":
        gradients = [0.0, np.nan, np.nan, np.nan] * 2
    decay, wrap = wdjax.decay_weights(0.1), SKIPPERS[name]
    assert shrunk(optax.chain(wrap(SGD), decay), gradients) == pytest.approx(0.9**8)
    assert shrunk(wrap(optax.chain(SGD, decay)), gradients) == pytest.approx(0.9**2)


def test_decay_behind_apply_every_acts_in_every_call():
    behind = optax.chain(optax.apply_every(4), SGD, wdjax.decay_weights(0.1))
    assert shrunk(behind, [0.0] * 8) == pytest.approx(0.9**8)


def settled(optimizer, gradient, evaluate=lambda state, params: params, params=None):
    """Where 4,000 steps of the quadratic in w lead."""
    params = jnp.array(START) if params is None else params

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    last, _ = jax.lax.scan(step, (params, optimizer.init(params)), length=4000)
    return evaluate(last[1], last[0])


def pull_to_optimum(w):
    return H @ (w - OPTIMUM)


def test_lookahead_refuses_both_places_and_takes_the_pull_inside():
    params = optax.LookaheadParams.init_synced(jnp.array(START))

    def end(optimizer):
        return settled(
            optimizer,
            lambda p: pull_to_optimum(p.fast),
            lambda state, p: p.slow,
            params,
        )

    def lookahead(optimizer):
        return optax.lookahead(optimizer, 5, 0.5)

    for inside in (wdjax.sgdw(0.1, L2), wdjax.with_l2(SGD, L2)):
        np.testing.assert_allclose(end(lookahead(inside)), RIDGE, rtol=1e-9)
    slow = lookahead(SGD)
    behind = end(optax.chain(slow, wdjax.decay_weights(0.1 * L2)))
    assert np.abs(behind - RIDGE).max() > 0.2
    with pytest.raises(ValueError, match="named tuple"):  # JAX's words, not ours
        end(optax.chain(wdjax.add_l2(L2), slow))


def test_decay_inside_schedule_free_reaches_the_ridge_solution():
    inside = contrib.schedule_free(wdjax.sgdw(0.1, L2), 0.1)
    end = settled(inside, pull_to_optimum, contrib.schedule_free_eval_params)
    np.testing.assert_allclose(end, RIDGE, atol=1e-5)  # it averages all iterates


def test_decay_inside_sam_is_taken_at_the_weights_it_came_from():
    """With ε = ρ∇f/‖∇f‖ the gradient is taken at θ + ε, the decay at θ."""
    rate = optax.exponential_decay(0.1, 4000, 1e-5)  # the ascent's length is fixed
    inside = contrib.sam(wdjax.sgdw(rate, L2), ASCENT)
    theta = np.asarray(settled(inside, pull_to_optimum))
    g = pull_to_optimum(theta)
    ascended = theta + RADIUS * g / np.linalg.norm(g)
    np.testing.assert_allclose(pull_to_optimum(ascended) + L2 * theta, 0, atol=1e-5)
    np.testing.assert_allclose(theta, RIDGE, atol=RADIUS)


def outlier(w):
    """Three examples whose mean is the gradient; the first is far off."""
    return jnp.stack([pull_to_optimum(w) + offset for offset in (4.0, -2.0, -2.0)])


def private(clip, noise=0.0):
    return contrib.differentially_private_aggregate(clip, noise, jax.random.key(0))


def test_l2_in_front_of_dpsgd_is_clipped_with_the_examples():
    with jax.numpy_rank_promotion("allow"):  # θ is added to each example
        ends = [
            settled(optax.chain(wdjax.add_l2(L2), private(clip), SGD), outlier)
            for clip in (100.0, 4.0)
        ]
    np.testing.assert_allclose(ends[0], RIDGE, rtol=1e-9)
    assert np.abs(ends[1] - RIDGE).max() > 0.1
    behind = optax.chain(private(100.0), wdjax.add_l2(L2), SGD)
    np.testing.assert_allclose(settled(behind, outlier), RIDGE, rtol=1e-9)


def test_decay_behind_dpsgd_is_exact_beside_its_noise():
    """Two starts under the same noise: their difference decays by (1 − δ)^T."""
    behind = optax.chain(private(1.0, noise=1.0), SGD, wdjax.decay_weights(1e-3))
    one, two = (
        settled(behind, lambda w: jnp.zeros((3, 3)), params=scale * jnp.array(START))
        for scale in (1.0, 2.0)
    )
    assert np.abs(one).max() > 0.1  # START itself would be down to 0.04
    np.testing.assert_allclose(two - one, 0.999**4000 * START, rtol=1e-9)


SEARCHES = {
    "zoom": lambda: optax.scale_by_zoom_linesearch(9),
    "backtracking": lambda: optax.scale_by_backtracking_linesearch(9, store_grad=True),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_line_search_keeps_the_value_of_a_point_that_decay_leaves(name):
    def objective(w):
        return 0.5 * jnp.vdot(w - OPTIMUM, pull_to_optimum(w))

    descent = optax.chain(optax.sgd(1.0), SEARCHES[name]())
    for delta, agrees in ((0.0, True), (0.1, False)):
        optimizer = optax.chain(descent, wdjax.decay_weights(delta))
        w = jnp.array(START)
        value, grad = jax.value_and_grad(objective)(w)
        more = {"value": value, "grad": grad, "value_fn": objective}
        updates, state = optimizer.update(grad, optimizer.init(w), w, **more)
        new = optax.apply_updates(w, updates)
        kept, _ = optax.value_and_grad_from_state(objective)(new, state=state)
        assert (abs(kept - objective(new)) < 1e-12) == agrees


MAKERS = {
    "lookahead": lambda: optax.lookahead(SGD, 5, 0.5),
    "lbfgs": optax.lbfgs,
    "scale_by_zoom_linesearch": SEARCHES["zoom"],
    "scale_by_backtracking_linesearch(store_grad=True)": SEARCHES["backtracking"],
    "MultiSteps": lambda: SKIPPERS["MultiSteps"](SGD),
    "apply_every": lambda: optax.apply_every(4),
    "apply_if_finite": lambda: SKIPPERS["apply_if_finite"](SGD),
    "conditionally_mask": lambda: SKIPPERS["conditionally_mask"](SGD),
    "contrib.cocob": contrib.cocob,
    "contrib.dog": contrib.dog,
    "contrib.dowg": contrib.dowg,
    "contrib.madgrad": lambda: contrib.madgrad(0.1),
    "contrib.mechanize": lambda: contrib.mechanize(SGD),
    "contrib.sam": lambda: contrib.sam(SGD, ASCENT),
    "contrib.schedule_free": lambda: contrib.schedule_free(SGD, 0.1),
    "contrib.schedule_free_adamw": contrib.schedule_free_adamw,
    "contrib.schedule_free_sgd": contrib.schedule_free_sgd,
}


def hidden(optimizer):
    """In the middle of wrappers, as `init` under a transformation sees it."""
    inner = optax.inject_hyperparams(lambda scale: optax.chain(optimizer))(scale=1.0)
    rest = optax.set_to_zero()
    labels = {"w": "train", "still": "rest"}
    return optax.chain(
        optax.clip(1.0), optax.partition({"train": inner, "rest": rest}, labels)
    )


def initial_state(optimizer):
    return jax.eval_shape(optimizer.init, {"w": START, "still": jnp.ones(2)})


@pytest.mark.parametrize("row", support.REFUSED, ids=lambda r: f"{r.place}-{r.name}")
def test_what_is_refused_is_recognised_wherever_it_hides(row):
    for optimizer in (MAKERS[row.name](), hidden(MAKERS[row.name]())):
        with pytest.raises(ValueError, match=re.escape(row.reason)) as caught:
            support.refuse(row.place, initial_state(optimizer))
        assert f"optax.{row.name}" in str(caught.value)
        assert row.remedy in str(caught.value)
        assert support.CALLERS[row.place] in str(caught.value)


def test_each_wrapper_asks_for_its_own_place():
    """Dog is refused behind, and sound in front; lookahead at neither."""
    dog = contrib.dog()
    wdjax.with_l2(dog, 0.1).init(jnp.ones(2))
    for make in (
        wdjax.with_weight_decay,
        wdjax.with_stable_weight_decay,
        lambda dog, rate: wdjax.with_corrected_weight_decay(
            dog, rate, 0.1, normalised=True
        ),
    ):
        with pytest.raises(ValueError, match=r"with_weight_decay cannot go .*\.dog:"):
            make(dog, 0.1).init({"w": jnp.ones((2, 2)), "b": jnp.ones(2)})


def test_a_state_of_the_same_name_from_elsewhere_is_not_refused():
    class DoGState(NamedTuple):
        count: int

    support.refuse("decoupled", DoGState(0))


def test_a_state_without_the_field_that_decides_is_not_refused():
    """Another version of Optax may not have it."""

    class SAMState(NamedTuple):
        steps: int
        cache: int | None

    class Fieldless(NamedTuple):
        steps: int

    SAMState.__module__ = Fieldless.__module__ = "optax.contrib._sam"
    Fieldless.__name__ = "SAMState"
    support.refuse("decoupled", Fieldless(0))
    support.refuse("decoupled", SAMState(0, None))
    with pytest.raises(ValueError, match=r"optax\.contrib\.sam"):
        support.refuse("decoupled", SAMState(0, 0))


def test_all_names_of_a_state_are_called():
    """A state does not tell a wrapper from its shorthands."""
    names = "schedule_free", "schedule_free_adamw", "schedule_free_sgd"
    called = ", ".join(f"optax.contrib.{name}" for name in names)
    with pytest.raises(ValueError, match=f"go around {re.escape(called)}: "):
        support.refuse("decoupled", initial_state(contrib.schedule_free_sgd()))


def found(name):
    thing = {"optax": optax, "wdjax": wdjax}
    first, *parts = name.split(".")
    thing = thing[first]
    for part in parts:
        thing = getattr(thing, part)
    return thing


def test_every_row_names_something_that_optax_has():
    for row in ROWS:
        assert callable(found(f"optax.{row.name.partition('(')[0]}")), row.name


@pytest.mark.parametrize("row", support.REFUSED, ids=lambda r: f"{r.place}-{r.name}")
def test_a_remedy_calls_what_there_is(row):
    """By its full name: whatever has an argument, or ends in a public name."""
    called = re.findall(r"([\w.]+)(?=\()", row.remedy)
    called += re.findall(r"wdjax\.\w+", row.remedy)
    assert called
    for name in called:
        assert callable(found(name)), name
