"""One run is the textbook loop, written out here without scan, vmap or jit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wdjax import sweep
from wdjax.sweep.batches import minibatch, permutation, standardised
from wdjax.sweep.evaluate import evaluate

HYPERS = {"learning_rate": jnp.asarray(0.05), "decay": jnp.asarray(0.3)}


def pixels(dataset, images):
    """Standardised by hand, in float64."""
    train = dataset.train.images.astype(np.float64)
    return (images - train.mean((0, 1, 2))) / train.std((0, 1, 2))


def loss_by_hand(apply, params, x, y):
    logits = apply(params, x)
    log_p = logits - jax.nn.logsumexp(logits, axis=1, keepdims=True)
    return -jnp.mean(log_p[jnp.arange(len(y)), y])


def loop(dataset, linear, key, steps, batch_size):
    """Epochs of permutations, minibatches in order, Adam and decay by NumPy."""
    init, apply, _ = linear
    init_key, order_key = jax.random.split(key)
    params = jax.tree.map(np.asarray, init(init_key))
    m = v = jax.tree.map(np.zeros_like, params)
    n, losses, norms = len(dataset.train.labels), [], []
    alpha, lam = 0.05, 0.3
    for t in range(steps):
        if t % (n // batch_size) == 0:
            order = jax.random.permutation(jax.random.fold_in(order_key, t), n)
        start = t % (n // batch_size) * batch_size
        rows = np.asarray(order)[start : start + batch_size]
        x, y = pixels(dataset, dataset.train.images[rows]), dataset.train.labels[rows]
        value, g = jax.value_and_grad(lambda p: loss_by_hand(apply, p, x, y))(params)  # noqa: B023
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
        c1, c2 = 1 - 0.9 ** (t + 1), 1 - 0.999 ** (t + 1)
        params = jax.tree.map(
            lambda p, m, v: (
                p
                - alpha * (m / c1) / (np.sqrt(v / c2) + 1e-8)  # noqa: B023
                - alpha * lam * p
            ),
            params,
            m,
            v,
        )
        losses.append(float(value))
        norms.append(np.sqrt(sum(np.sum(p**2) for p in jax.tree.leaves(params))))
    return params, np.array(losses), np.array(norms)


def in_the_engine(train, data):
    """One cell among others, in segments, as a run of its own would return it."""
    grid = sweep.grid(seed=[2, 3], learning_rate=[0.05, 0.1], decay=[0.0, 0.3])
    layout = sweep.Layout(devices=2, block=2, chunk=4)
    result = sweep.run(train, grid, data, layout=layout)
    return result.sel(seed=3, learning_rate=0.05, decay=0.3)


@pytest.mark.parametrize("engine", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "microbatch"),  # epochs of 3, 4, 5 steps; records of 3
    [(6, None), (5, None), (4, None), (6, 1), (6, 2), (6, 6)],
)
def test_train_is_the_textbook_loop(dataset, linear, batch_size, microbatch, engine):
    key = jax.random.key(3)
    train = sweep.make_train(
        *linear, steps=12, batch_size=batch_size, records=4, microbatch=microbatch
    )
    params, losses, norms = loop(dataset, linear, key, 12, batch_size)
    data = sweep.arrays(dataset)
    if engine:
        outcome = in_the_engine(train, data)
    else:
        outcome = jax.jit(train)(data, HYPERS, key)
    # The mean and deviation of the pixels are float32: 1e-6 is their rounding.
    np.testing.assert_allclose(outcome["loss"], losses.reshape(4, 3).mean(1), rtol=1e-5)
    np.testing.assert_allclose(outcome["norm"], norms[2::3], rtol=1e-5)
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        x = pixels(dataset, split.images)
        expected = loss_by_hand(linear[1], params, x, split.labels)
        np.testing.assert_allclose(outcome[f"{name}_loss"], expected, rtol=1e-5)
        wrong = np.argmax(linear[1](params, x), axis=1) != split.labels
        assert round(float(outcome[f"{name}_error"]) * len(wrong), 6) == wrong.sum()
    assert outcome["diverged_at"] == -1


def test_only_a_microbatch_is_differentiated_at_once(dataset, linear):
    init, apply, make_optimizer = linear
    sizes = []

    def seen(params, images):
        sizes.append(len(images))
        return apply(params, images)

    train = sweep.make_train(
        init, seen, make_optimizer, steps=1, batch_size=6, records=1, microbatch=2
    )
    data = sweep.arrays(dataset)
    jax.eval_shape(train, data, HYPERS, jax.random.key(0))
    assert 2 in sizes


@pytest.mark.parametrize(
    ("microbatch", "collect", "message"),
    [
        (4, None, "microbatch is 4; it must divide batch_size, 6"),
        (0, None, "microbatch is 0; it must divide batch_size, 6"),
        (2, lambda params, images: {}, "normalised as a whole cannot be cut"),
    ],
)
def test_microbatches_that_do_not_fit_are_refused(linear, microbatch, collect, message):
    with pytest.raises(ValueError, match=message):
        sweep.make_train(
            *linear,
            steps=1,
            batch_size=6,
            records=1,
            microbatch=microbatch,
            collect=collect,
        )


def test_an_epoch_shows_every_example_once():
    key, seen = jax.random.key(0), []
    examples = sweep.Examples(jnp.zeros((20, 1, 1, 1), jnp.uint8), jnp.arange(20))
    for t in range(8):  # two epochs of four batches of five
        order = permutation(20, key, jnp.asarray(t - t % 4))
        seen.append(np.asarray(minibatch(examples, order, jnp.asarray(t), 5).labels))
    first, second = np.concatenate(seen[:4]), np.concatenate(seen[4:])
    assert sorted(first) == sorted(second) == list(range(20))
    assert not np.array_equal(first, second)


def test_cells_of_one_seed_share_their_minibatches(dataset, train):
    """At α = 0 nothing moves: the losses differ through the batches only."""
    data = sweep.arrays(dataset)

    def losses(decay, seed):
        hypers = {"learning_rate": jnp.asarray(0.0), "decay": jnp.asarray(decay)}
        return np.asarray(jax.jit(train)(data, hypers, jax.random.key(seed))["loss"])

    np.testing.assert_array_equal(losses(0.0, seed=1), losses(0.7, seed=1))
    assert not np.any(losses(0.0, seed=1) == losses(0.0, seed=2))


def test_a_diverged_run_is_recorded_at_its_step(dataset, linear):
    init, apply, _ = linear
    explode = sweep.make_train(
        init,
        apply,
        lambda h: optax.sgd(lambda t: jnp.where(t == 4, jnp.inf, h["learning_rate"])),
        steps=12,
        batch_size=6,
        records=4,
    )
    data = sweep.arrays(dataset)
    outcome = jax.jit(explode)(data, HYPERS, jax.random.key(0))
    # Step 4 (from 0) ruins the weights, so step 5 is the first with such a loss.
    assert outcome["diverged_at"] == 5
    assert np.all(np.isfinite(outcome["loss"][:1]))
    for name in ("train", "validation", "test"):
        assert np.isnan(outcome[f"{name}_error"])


def test_observations_are_recorded_with_the_curves(dataset, linear):
    init, apply, make_optimizer = linear

    def observe(hypers, params, state):
        count = optax.tree.get(state, "ScaleByAdamState").count
        return {"count": count, "bias": jnp.sum(params["bias"])}

    train = sweep.make_train(
        init,
        apply,
        make_optimizer,
        steps=6,
        batch_size=4,
        records=3,
        observe=observe,
    )
    outcome = jax.jit(train)(sweep.arrays(dataset), HYPERS, jax.random.key(0))
    np.testing.assert_array_equal(outcome["count"], [2, 4, 6])
    assert np.all(np.diff(outcome["bias"]) != 0)


@pytest.mark.parametrize("n", [1, 499, 500, 501, 1203])
def test_evaluation_counts_every_example_once(n, dataset):
    """Beside whole batches of 500: no example lost, none counted twice."""
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, 1, 1, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, n).astype(np.int32)
    examples = sweep.Examples(jnp.asarray(images), jnp.asarray(labels))
    data = sweep.arrays(dataset)
    loss, error = evaluate(lambda p, x: p * x[:, 0, 0], jnp.array(2.0), data, examples)
    logits = 2.0 * np.asarray(standardised(data, examples.images))[:, 0, 0]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(loss, -log_p[np.arange(n), labels].mean(), rtol=1e-5)
    np.testing.assert_allclose(error, (logits.argmax(1) != labels).mean(), rtol=1e-12)


def test_the_schedules_follow_their_formulas():
    t = np.arange(100)
    cosine = 0.5 * (1 + np.cos(np.pi * t / 100))
    np.testing.assert_allclose([sweep.cosine(100)(i) for i in t], cosine, atol=1e-7)
    drops = np.where(t < 50, 1.0, np.where(t < 75, 0.1, 0.01))
    np.testing.assert_allclose([sweep.step(100)(i) for i in t], drops, rtol=1e-6)
    np.testing.assert_array_equal([sweep.constant(100)(i) for i in t], np.ones(100))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"steps": 10, "records": 4}, r"steps is 10.*such as 8"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"steps": 12.0}, "steps is 12.0; it must be an integer"),
        ({"steps": 1e4}, "steps is 10000.0; it must be an integer"),
        ({"batch_size": 6.0}, "batch_size is 6.0; it must be an integer"),
        ({"microbatch": 2.0}, "microbatch is 2.0; it must be an integer"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_lengths_that_do_not_fit_are_refused(linear, lengths, message):
    settings = {"steps": 12, "batch_size": 6, "records": 4} | lengths
    with pytest.raises(ValueError, match=message):
        sweep.make_train(*linear, **settings)


def test_a_hyper_parameter_that_the_grid_lacks_is_named(dataset, train):
    data = sweep.arrays(dataset)
    with pytest.raises(ValueError, match=r"asks for 'decay', .* only learning_rate;"):
        sweep.run(train, sweep.grid([0], learning_rate=[0.1]), data)
    with pytest.raises(ValueError, match=r"asks for 'learning_rate', .* only seeds;"):
        sweep.run(train, sweep.grid([0]), data)


def test_an_error_within_make_optimizer_stays_its_own(dataset, linear):
    init, apply, _ = linear
    lacking = sweep.make_train(
        init, apply, lambda h: {}["decay"], steps=4, batch_size=6, records=1
    )
    with pytest.raises(KeyError, match="decay"):
        sweep.run(lacking, sweep.grid([0], decay=[0.1]), sweep.arrays(dataset))


def test_a_batch_larger_than_the_training_set_is_refused(dataset, linear):
    train = sweep.make_train(*linear, steps=4, batch_size=21, records=4)
    with pytest.raises(ValueError, match=r"batch_size is 21.*only 20"):
        train(sweep.arrays(dataset), HYPERS, jax.random.key(0))


def test_gradients_flow_through_a_run(dataset, train):
    """d(validation loss)/dλ against a central difference."""
    data, key = sweep.arrays(dataset), jax.random.key(0)

    def validation(decay):
        hypers = {"learning_rate": jnp.asarray(0.05), "decay": decay}
        return train(data, hypers, key)["validation_loss"]

    slope = jax.jit(jax.grad(validation))(jnp.asarray(0.3))
    low, high = (jax.jit(validation)(jnp.asarray(x)) for x in (0.3 - 1e-3, 0.3 + 1e-3))
    # Truncation h² = 1e-6 and, from float32 pixels, no more than 1e-7/h = 1e-4.
    np.testing.assert_allclose(slope, (high - low) / 2e-3, rtol=1e-3)
