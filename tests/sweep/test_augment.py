"""Crops, flips and masks, looked for in what comes out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax import sweep
from wdjax.sweep.batches import standardised

N = 3000
KEY = jax.random.key(0)
# Pixels from 1: what is 0 was put there.
IMAGES = np.random.default_rng(0).integers(1, 256, (N, 5, 4, 2), dtype=np.uint8)
BATCH = jnp.asarray(IMAGES)


def uniform(counts):
    """χ² over its degrees of freedom k has mean 1 and variance 2/k: four of them."""
    expected = counts.sum() / counts.size
    k = counts.size - 1
    return ((counts - expected) ** 2 / expected).sum() / k < 1 + 4 * np.sqrt(2 / k)


def test_crops_are_windows_of_the_padded_image_all_equally_likely():
    crop = jax.jit(partial(sweep.random_crop, padding=2, fill=7))
    cropped = np.asarray(crop(KEY, BATCH))
    assert cropped.dtype == np.uint8
    padded = np.full((N, 9, 8, 2), 7, np.uint8)
    padded[:, 2:7, 2:6] = IMAGES
    counts = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            window = padded[:, i : i + 5, j : j + 4]
            counts[i, j] = np.all(cropped == window, axis=(1, 2, 3)).sum()
    assert counts.sum() == N  # each image is one window of its own padded self
    assert uniform(counts)


def test_padding_is_4_and_black_unless_said_otherwise():
    cropped = np.asarray(sweep.random_crop(KEY, jnp.full((2000, 5, 9, 1), 200, "u1")))
    # Shifted by d rows, −4 to 4, an image of five keeps 5 − |d|.
    assert set(cropped.any((2, 3)).sum(1)) == {1, 2, 3, 4, 5}
    assert set(np.unique(cropped)) == {0, 200}


def test_without_padding_a_crop_is_the_image():
    np.testing.assert_array_equal(sweep.random_crop(KEY, BATCH, padding=0), IMAGES)


def test_half_of_the_images_are_mirrored_left_and_right():
    flipped = np.asarray(jax.jit(sweep.random_flip)(KEY, BATCH))
    same = np.all(flipped == IMAGES, axis=(1, 2, 3))
    mirrored = np.all(flipped == IMAGES[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(same ^ mirrored)
    # A binomial's standard error is √N/2; four of them.
    assert abs(mirrored.sum() - N / 2) < 4 * np.sqrt(N) / 2


@pytest.mark.parametrize("rows", [4, 5])  # a square, where a shared draw would show
@pytest.mark.parametrize("size", [1, 2, 3])
def test_cutout_masks_a_square_around_any_pixel(size, rows):
    mask = jax.jit(partial(sweep.cutout, size=size, fill=0))
    masked = np.asarray(mask(KEY, BATCH[:, :rows]))
    counts, found = np.zeros((rows, 4)), np.zeros(N, bool)
    before = size // 2
    for i in range(rows):
        for j in range(4):
            expected = IMAGES[:, :rows].copy()
            tall = slice(max(i - before, 0), i - before + size)
            wide = slice(max(j - before, 0), j - before + size)
            expected[:, tall, wide] = 0
            hits = np.all(masked == expected, axis=(1, 2, 3))
            counts[i, j] = hits.sum()
            found |= hits
    assert found.all()
    assert uniform(counts)


def test_cutout_is_16_pixels_wide_and_grey_unless_said_otherwise():
    images = jnp.zeros((200, 64, 64, 1), jnp.uint8)
    masked = np.asarray(sweep.cutout(KEY, images))
    assert set(np.unique(masked)) == {0, 128}
    assert (masked > 0).sum((1, 2, 3)).max() == 16**2


def test_augmentations_in_turn_have_keys_of_their_own():
    both = sweep.in_turn(sweep.random_flip, sweep.random_flip, sweep.random_crop)
    keys = [jax.random.fold_in(KEY, i) for i in range(3)]
    once = sweep.random_flip(keys[0], BATCH)
    twice = sweep.random_flip(keys[1], once)
    expected = sweep.random_crop(keys[2], twice)
    np.testing.assert_array_equal(both(KEY, BATCH), expected)
    assert not np.array_equal(twice, IMAGES)
    np.testing.assert_array_equal(sweep.in_turn()(KEY, BATCH), IMAGES)


# Inside a run: at α = 0 each loss is that of one augmented minibatch.

AUGMENT = sweep.in_turn(
    partial(sweep.random_crop, padding=1), partial(sweep.cutout, size=1)
)


def still(decay=0.0):
    return {"learning_rate": jnp.asarray(0.0), "decay": jnp.asarray(decay)}


def run(linear, records=12, augment=AUGMENT):
    return sweep.make_train(
        *linear, steps=12, batch_size=6, records=records, augment=augment
    )


def test_each_step_sees_its_minibatch_augmented_by_key_and_step(dataset, linear):
    init, apply, _ = linear
    data, key = sweep.arrays(dataset), jax.random.key(3)
    outcome = jax.jit(run(linear))(data, still(), key)
    init_key, order_key = jax.random.split(key)
    params, expected = init(init_key), []
    for t in range(12):
        epoch = jax.random.fold_in(order_key, t - t % 3)
        rows = jax.random.permutation(epoch, 20)[t % 3 * 6 :][:6]
        draw = jax.random.fold_in(jax.random.fold_in(order_key, 2**32 - 1), t)
        x = AUGMENT(draw, data.train.images[rows])
        log_p = jax.nn.log_softmax(apply(params, standardised(data, x)))
        expected.append(-log_p[jnp.arange(6), data.train.labels[rows]].mean())
    np.testing.assert_allclose(outcome["loss"], expected, rtol=1e-6)
    fewer = jax.jit(run(linear, records=4))(data, still(), key)
    np.testing.assert_allclose(
        fewer["loss"], np.reshape(expected, (4, 3)).mean(1), rtol=1e-6
    )


def test_cells_of_a_seed_share_their_draws(dataset, linear):
    train, data = run(linear), sweep.arrays(dataset)
    cells = still(jnp.array([0.0, 0.5])) | {"learning_rate": jnp.zeros(2)}

    def losses(seed):
        vmapped = jax.vmap(train, in_axes=(None, 0, None))
        return np.asarray(jax.jit(vmapped)(data, cells, jax.random.key(seed))["loss"])

    one, two = losses(0), losses(1)
    np.testing.assert_array_equal(one[0], one[1])
    assert not np.any(one == two)


def test_evaluation_is_not_augmented_and_the_order_stays(dataset, linear):
    data, key = sweep.arrays(dataset), jax.random.key(0)
    outcomes = [
        jax.jit(run(linear, augment=augment))(data, still(), key)
        for augment in (AUGMENT, None, lambda key, images: images)
    ]
    for name in ("train_loss", "validation_loss", "test_loss"):
        np.testing.assert_array_equal(outcomes[0][name], outcomes[1][name])
    np.testing.assert_array_equal(outcomes[1]["loss"], outcomes[2]["loss"])
    assert not np.any(outcomes[0]["loss"] == outcomes[1]["loss"])


def test_a_shortened_run_is_augmented_too(dataset, linear):
    """The engine times it in place of the run."""
    data, key = sweep.arrays(dataset), jax.random.key(0)
    whole = run(linear, records=4)
    short = whole.shortened(3)
    np.testing.assert_array_equal(
        jax.jit(short)(data, still(), key)["loss"][0],
        jax.jit(whole)(data, still(), key)["loss"][0],
    )
