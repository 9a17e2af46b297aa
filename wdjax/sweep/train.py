"""One training run as one pure function of what varies.

``make_train(static) -> train(data, hypers, key)``: whatever varies in a study is an
argument, the data set too, so that one compiled program serves all of its cells.
"""

from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from wdjax.sweep.augment import Augment
from wdjax.sweep.batches import Arrays, Examples, minibatch, permutation, standardised
from wdjax.sweep.evaluate import cross_entropy, evaluate
from wdjax.sweep.population import Apply, Collect, settled
from wdjax.sweep.training import Hypers, Outcome, Training

Order: TypeAlias = Int[Array, " n"]
Show: TypeAlias = Callable[[Examples, Int[Array, ""]], Examples]
Observe: TypeAlias = Callable[[Hypers, PyTree, PyTree], Outcome]


class _State(NamedTuple):
    params: PyTree
    optimizer: PyTree
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
    augment: Augment | None = None,
    collect: Collect | None = None,
    microbatch: int | None = None,
) -> Training:
    r"""Close over all that is static; return a pure function of what varies.

    Each epoch is a fresh permutation of the training set, cut into batches; what does
    not fill a batch is left out of that epoch. The key sets the initialisation, the
    order and the augmentation, so cells of one key see the same minibatches.

    Args:
        init: draws the parameters from a key.
        apply: parameters and standardised images to logits.
        make_optimizer: builds the optimizer from traced hyper-parameters.
        steps: length of the run; a multiple of ``records``.
        batch_size: examples in a minibatch.
        records: how many points the curves have.
        observe: what else to record, from hyper-parameters, parameters and the
            optimizer's state, after the last step of each record.
        augment: what each minibatch goes through, such as those in
            :mod:`wdjax.sweep.augment`; its draws depend on the key and the step alone.
            Evaluation is not augmented.
        collect: a batch's statistics, for models with batch normalisation
            (``model.collect``): evaluation then goes by those of the training set.
        microbatch: examples whose gradient is taken at once, a divisor of
            ``batch_size``; the whole batch if not given. The mean of these gradients is
            the batch's, to rounding error, for less memory; on a CPU a convolutional
            network trains twice as fast by 8 to 16 at a time, which stay in the cache.

    Returns:
        ``train(data, hypers, key)``, with a segment for each record. Its outcome
        holds scalars: ``train_loss``, ``validation_loss``, ``test_loss``
        (cross-entropy in nats), ``train_error``, ``validation_error``, ``test_error``
        (fractions), and ``diverged_at`` (the first step whose loss is not finite, or
        −1); and curves of length ``records``: ``loss`` (mean over the minibatches of
        the record), ``norm`` (of all parameters), and whatever ``observe`` returns.

    Raises:
        ValueError: ``steps``, ``batch_size``, ``records`` or ``microbatch`` do not fit,
            or there are microbatches and statistics of the whole batch.
    """
    _check_lengths(steps, batch_size, records)
    pieces = _pieces(batch_size, microbatch, collect)
    length = steps // records

    def begin(data: Arrays, hypers: Hypers, key: Key[Array, ""]) -> _State:
        _check_batch(batch_size, data.train)
        init_key, _ = jax.random.split(key)
        params = init(init_key)
        optimizer = _made(make_optimizer, hypers)
        return _State(params, optimizer.init(params), jnp.array(-1))

    def advance(
        data: Arrays,
        hypers: Hypers,
        key: Key[Array, ""],
        state: _State,
        segment: Int[Array, ""],
    ) -> tuple[_State, Outcome]:
        _, order_key = jax.random.split(key)
        step = _make_step(apply, _made(make_optimizer, hypers), data, pieces)
        show = _make_show(augment, order_key)
        batches = len(data.train.labels) // batch_size
        first = segment * length

        def at(
            carry: tuple[_State, Order], t: Int[Array, ""]
        ) -> tuple[tuple[_State, Order], Float[Array, ""]]:
            state, order = carry
            order = jax.lax.cond(t % batches == 0, lambda: order_from(t), lambda: order)
            batch = minibatch(data.train, order, t, batch_size)
            state, loss = step(state, t, show(batch, t))
            return (state, order), loss

        def order_from(t: Int[Array, ""]) -> Order:
            return permutation(len(data.train.labels), order_key, t)

        order = order_from(first - first % batches)  # of the epoch that goes on
        ts = first + jnp.arange(length)
        (state, _), losses = jax.lax.scan(at, (state, order), ts)
        curves = {"loss": losses.mean(), "norm": optax.tree.norm(state.params)}
        return state, curves | observe(hypers, state.params, state.optimizer)

    def finish(
        data: Arrays, hypers: Hypers, key: Key[Array, ""], state: _State
    ) -> Outcome:
        del hypers, key
        finals = _finals(apply, collect, state.params, data)
        return finals | {"diverged_at": state.diverged_at}

    def shortened(steps: int) -> Training:
        return make_train(
            init,
            apply,
            make_optimizer,
            steps=steps,
            batch_size=batch_size,
            records=1,
            augment=augment,
            collect=collect,
            microbatch=microbatch,
        )

    return Training(begin, advance, finish, records, shortened, length)


def _made(
    make_optimizer: Callable[[Hypers], optax.GradientTransformation], hypers: Hypers
) -> optax.GradientTransformation:
    """The optimizer; a hyper-parameter that is not there meets a sentence."""
    try:
        return make_optimizer(hypers)
    except KeyError as error:
        name = next(iter(error.args), None)
        if name is None or name in hypers:
            raise
        raise ValueError(
            f"make_optimizer asks for {name!r}, and the grid has only "
            f"{', '.join(sorted(hypers)) or 'seeds'}; give the grid an axis {name}."
        ) from error


def _make_step(
    apply: Apply, optimizer: optax.GradientTransformation, data: Arrays, pieces: int
) -> Callable[[_State, Int[Array, ""], Examples], tuple[_State, Float[Array, ""]]]:
    """One step of training, and its minibatch's loss."""

    def loss(params: PyTree, batch: Examples) -> Float[Array, ""]:
        logits = apply(params, standardised(data, batch.images))
        return cross_entropy(logits, batch.labels).mean()

    def step(
        state: _State, t: Int[Array, ""], batch: Examples
    ) -> tuple[_State, Float[Array, ""]]:
        value, gradient = _mean_gradient(loss, state.params, batch, pieces)
        updates, inner = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        diverges = (state.diverged_at < 0) & ~jnp.isfinite(value)
        diverged_at = jnp.where(diverges, t, state.diverged_at)
        return _State(params, inner, diverged_at), value

    return step


def _mean_gradient(
    loss: Callable[[PyTree, Examples], Float[Array, ""]],
    params: PyTree,
    batch: Examples,
    pieces: int,
) -> tuple[Float[Array, ""], PyTree]:
    """A mean loss and its gradient, as means over pieces of the batch."""
    if pieces == 1:
        return jax.value_and_grad(loss)(params, batch)

    def add(total: PyTree, piece: Examples) -> tuple[PyTree, None]:
        of_piece = jax.value_and_grad(loss)(params, piece)
        return jax.tree.map(jnp.add, total, of_piece), None

    split = jax.tree.map(lambda a: a.reshape(pieces, -1, *a.shape[1:]), batch)
    shapes = jax.eval_shape(jax.value_and_grad(loss), params, batch)
    total = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add, total, split)
    return jax.tree.map(lambda a: a / pieces, total)


def _make_show(augment: Augment | None, order_key: Key[Array, ""]) -> Show:
    """What training sees of a step's minibatch: the same whatever else varies."""
    if augment is None:
        return lambda batch, t: batch
    # No epoch starts at this step, so that no order is drawn from this key.
    augment_key = jax.random.fold_in(order_key, 2**32 - 1)

    def show(batch: Examples, t: Int[Array, ""]) -> Examples:
        key = jax.random.fold_in(augment_key, t)
        return batch._replace(images=augment(key, batch.images))

    return show


def _finals(
    apply: Apply, collect: Collect | None, params: PyTree, data: Arrays
) -> Outcome:
    if collect is not None:
        apply = settled(apply, collect, params, data)
    outcome = {}
    for name in ("train", "validation", "test"):
        loss, error = evaluate(apply, params, data, getattr(data, name))
        outcome |= {f"{name}_loss": loss, f"{name}_error": error}
    return outcome


def _check_lengths(steps: int, batch_size: int, records: int) -> None:
    lengths = {"steps": steps, "batch_size": batch_size, "records": records}
    for name, value in lengths.items():
        if not isinstance(value, Integral):
            raise ValueError(f"{name} is {value!r}; it must be an integer.")
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if steps % records:
        nearest = records * max(1, round(steps / records))
        raise ValueError(
            f"steps is {steps}, which is no multiple of the {records} records; make it "
            f"one, such as {nearest}."
        )


def _pieces(batch_size: int, microbatch: int | None, collect: Collect | None) -> int:
    """How many pieces a batch is cut into."""
    if microbatch is None or microbatch == batch_size:
        return 1
    if not isinstance(microbatch, Integral):
        raise ValueError(f"microbatch is {microbatch!r}; it must be an integer.")
    if microbatch < 1 or batch_size % microbatch:
        raise ValueError(
            f"microbatch is {microbatch}; it must divide batch_size, {batch_size}."
        )
    if collect is not None:
        raise ValueError(
            "A batch that is normalised as a whole cannot be cut into microbatches; "
            "leave microbatch out, or normalise by groups."
        )
    return batch_size // microbatch


def _check_batch(batch_size: int, train: Examples) -> None:
    if batch_size > len(train.labels):
        raise ValueError(
            f"batch_size is {batch_size}, but the training set has only "
            f"{len(train.labels)} examples; make it smaller."
        )
