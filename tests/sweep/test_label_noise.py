"""So many labels are wrong, in the training set alone."""

import numpy as np
import pytest

from tests.sweep.conftest import random_dataset
from wdjax import sweep

N, CLASSES = 3001, 4


@pytest.fixture(scope="module")
def clean():
    return random_dataset(N, CLASSES)


def wrong(clean, fraction, seed=0):
    noisy = sweep.with_label_noise(clean, fraction, seed)
    return noisy.train.labels != clean.train.labels


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.7, 1.0])
def test_exactly_the_fraction_of_labels_is_wrong(clean, fraction):
    count = {0.0: 0, 0.2: 600, 0.7: 2101, 1.0: 3001}  # of 600.2, of 2100.7
    assert wrong(clean, fraction).sum() == count[fraction]


def test_wrong_labels_are_all_other_classes_equally_often(clean):
    noisy = sweep.with_label_noise(clean, 1.0, 0)
    assert noisy.train.labels.dtype == np.int32
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (clean.train.labels, noisy.train.labels), 1)
    assert np.trace(counts) == 0
    shares = counts / counts.sum(1, keepdims=True)
    others = shares[~np.eye(CLASSES, dtype=bool)]
    # Standard error √(p(1 − p)/n) with n > 700 examples of a class; four of them.
    np.testing.assert_allclose(others, 1 / 3, atol=4 * np.sqrt(2 / 9 / 700))


def test_only_training_labels_change_and_the_name_says_so(clean):
    before = clean.train.labels.copy()
    noisy = sweep.with_label_noise(clean, 0.3, 0)
    assert noisy.train.images is clean.train.images
    assert noisy.validation is clean.validation
    assert noisy.test is clean.test
    assert noisy.label == "random with 30 % wrong labels (n = 3,001)"
    np.testing.assert_array_equal(clean.train.labels, before)


def test_a_seed_gives_the_same_noise_and_more_of_it_at_a_larger_fraction(clean):
    few, many = (sweep.with_label_noise(clean, f, 7).train.labels for f in (0.2, 0.6))
    again = sweep.with_label_noise(clean, 0.2, 7).train.labels
    np.testing.assert_array_equal(few, again)
    touched = few != clean.train.labels
    np.testing.assert_array_equal(few[touched], many[touched])
    assert not np.array_equal(wrong(clean, 0.2, seed=7), wrong(clean, 0.2, seed=8))


@pytest.mark.parametrize("fraction", [-0.1, 1.1, np.nan])
def test_fractions_outside_0_to_1_are_refused(clean, fraction):
    with pytest.raises(ValueError, match=r"fraction is .*between 0 and 1"):
        sweep.with_label_noise(clean, fraction, 0)


def test_one_class_has_no_wrong_label():
    with pytest.raises(ValueError, match="random has 1 class"):
        sweep.with_label_noise(random_dataset(classes=1), 0.5, 0)
