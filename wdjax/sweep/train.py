"""One training run as one pure function of what varies.

``make_train(static) -> train(data, hypers, key)``: whatever varies in a study is an
argument, the data set too, so that one compiled program serves all of its cells.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from wdjax.sweep.batches import Arrays, Examples, minibatch, reshuffled, standardised
from wdjax.sweep.evaluate import Apply, cross_entropy, evaluate

Hypers: TypeAlias = Mapping[str, Float[Array, ""]]
Outcome: TypeAlias = dict[str, Array]
Train: TypeAlias = Callable[[Any, Hypers, Key[Array, ""]], Outcome]
Observe: TypeAlias = Callable[[Hypers, PyTree, PyTree], Outcome]


class _State(NamedTuple):
    params: PyTree
    optimizer: PyTree
    order: Int[Array, " n"]
    diverged_at: Int[Array, ""]


def make_train(
    init: Callable[[Key[Array, ""]], PyTree],
    apply: Apply,
    make_optimizer: Callable[[Hypers], optax.GradientTransformation],
    *,
    steps: int,
    batch_size: int,
    records: int = 20,
    observe: Observe = lambda hypers, params, state: {},
) -> Train:
    r"""Close over all that is static; return a pure function of what varies.

    Each epoch is a fresh permutation of the training set, cut into batches; what does
    not fill a batch is left out of that epoch. The key sets the initialisation and the
    order, so cells of one key see the same minibatches.

    Args:
        init: draws the parameters from a key.
        apply: parameters and standardised images to logits.
        make_optimizer: builds the optimizer from traced hyper-parameters.
        steps: length of the run; a multiple of ``records``.
        batch_size: examples in a minibatch.
        records: how many points the curves have.
        observe: what else to record, from hyper-parameters, parameters and the
            optimizer's state, after the last step of each record.

    Returns:
        ``train(data, hypers, key)``. Its outcome holds scalars: ``train_loss``,
        ``validation_loss``, ``test_loss`` (cross-entropy in nats), ``train_error``,
        ``validation_error``, ``test_error`` (fractions), and ``diverged_at`` (the
        first step whose loss is not finite, or −1); and curves of length ``records``:
        ``loss`` (mean over the minibatches of the record), ``norm`` (of all
        parameters), and whatever ``observe`` returns.

    Raises:
        ValueError: ``steps``, ``batch_size`` or ``records`` do not fit.
    """
    _check_lengths(steps, batch_size, records)

    def train(data: Arrays, hypers: Hypers, key: Key[Array, ""]) -> Outcome:
        _check_batch(batch_size, data.train)
        init_key, order_key = jax.random.split(key)
        optimizer = make_optimizer(hypers)
        step = _make_step(apply, optimizer, data, order_key, batch_size)

        def record(state: _State, ts: Int[Array, " steps"]) -> tuple[_State, Outcome]:
            state, losses = jax.lax.scan(step, state, ts)
            curves = {"loss": losses.mean(), "norm": optax.tree.norm(state.params)}
            return state, curves | observe(hypers, state.params, state.optimizer)

        params = init(init_key)
        order = jnp.arange(len(data.train.labels))
        state = _State(params, optimizer.init(params), order, jnp.array(-1))
        ts = jnp.arange(steps).reshape(records, -1)
        state, curves = jax.lax.scan(record, state, ts)
        finals = _finals(apply, state.params, data)
        return curves | finals | {"diverged_at": state.diverged_at}

    return train


def _make_step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    data: Arrays,
    order_key: Key[Array, ""],
    batch_size: int,
) -> Callable[[_State, Int[Array, ""]], tuple[_State, Float[Array, ""]]]:
    """One step of training, and its minibatch's loss."""

    def loss(params: PyTree, batch: Examples) -> Float[Array, ""]:
        logits = apply(params, standardised(data, batch.images))
        return cross_entropy(logits, batch.labels).mean()

    def step(state: _State, t: Int[Array, ""]) -> tuple[_State, Float[Array, ""]]:
        order = reshuffled(state.order, order_key, t, batch_size)
        batch = minibatch(data.train, order, t, batch_size)
        value, gradient = jax.value_and_grad(loss)(state.params, batch)
        updates, inner = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        diverges = (state.diverged_at < 0) & ~jnp.isfinite(value)
        diverged_at = jnp.where(diverges, t, state.diverged_at)
        return _State(params, inner, order, diverged_at), value

    return step


def _finals(apply: Apply, params: PyTree, data: Arrays) -> Outcome:
    outcome = {}
    for name in ("train", "validation", "test"):
        loss, error = evaluate(apply, params, data, getattr(data, name))
        outcome |= {f"{name}_loss": loss, f"{name}_error": error}
    return outcome


def _check_lengths(steps: int, batch_size: int, records: int) -> None:
    lengths = {"steps": steps, "batch_size": batch_size, "records": records}
    for name, value in lengths.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if steps % records:
        nearest = records * max(1, round(steps / records))
        raise ValueError(
            f"steps is {steps}, which is no multiple of the {records} records; make it "
            f"one, such as {nearest}."
        )


def _check_batch(batch_size: int, train: Examples) -> None:
    if batch_size > len(train.labels):
        raise ValueError(
            f"batch_size is {batch_size}, but the training set has only "
            f"{len(train.labels)} examples; make it smaller."
        )
