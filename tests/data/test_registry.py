"""One door to all sets: names, labels, and sentences for what is wrong."""

import dataclasses
import sys

import numpy as np
import pytest

from wdjax.data import Dataset, Split, load
from wdjax.data.registry import NAMES


def blank(n):
    return Split(np.zeros((n, 32, 32, 3), np.uint8), np.zeros(n, np.int32))


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("cifr10", "cifar10"), ("Fashion-MNIST", "fashion_mnist"), ("photos", "photos10")],
)
def test_an_unknown_name_meets_the_nearest_known_one(wrong, nearest):
    with pytest.raises(ValueError, match=f"name = '{wrong}'.*Did you mean '{nearest}'"):
        load(wrong)


def test_an_unknown_name_meets_the_list_of_all():
    with pytest.raises(ValueError, match=f"Known: {', '.join(NAMES)}"):
        load("imagenet")


@pytest.mark.parametrize("name", ["photos10", "digits"])
def test_a_folder_for_a_set_that_takes_none_is_refused(name):
    with pytest.raises(ValueError, match=f"folder = 'here' .*'{name}'.*leave it out"):
        load(name, "here")


@pytest.mark.parametrize(
    ("verified", "label"),
    [(True, "photos10 (n = 4,000)"), (False, "photos10 (unverified, n = 4,000)")],
)
def test_label_gives_name_provenance_and_size(verified, label):
    dataset = Dataset(
        "photos10", "", "", (), blank(4_000), blank(1), blank(2), verified=verified
    )
    assert dataset.label == label


def test_a_loaded_set_is_verified_unless_it_says_otherwise():
    photos10 = load("photos10")
    assert photos10.label == "photos10 (n = 4,000)"
    remarked = dataclasses.replace(photos10, remark="blurred", verified=False)
    assert remarked.label == "photos10 (blurred, unverified, n = 4,000)"


@pytest.mark.parametrize("name", ["photos10", "digits"])
def test_shipped_sets_are_bytes_of_32_by_32_by_3_and_int32_labels(name):
    dataset = load(name)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.shape == (len(split.labels), 32, 32, 3)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int32
        assert set(split.labels.tolist()) == set(range(len(dataset.classes)))


def test_digits_are_enlarged_four_times_and_spread_over_a_byte():
    from sklearn.datasets import load_digits

    dataset = load("digits")
    originals = load_digits().images
    for grey in np.moveaxis(dataset.train.images, -1, 0):
        for i, j in np.ndindex(4, 4):
            np.testing.assert_allclose(
                grey[:, i::4, j::4] * (16 / 255), originals[:1_197], atol=0.5 * 16 / 255
            )
    sizes = [len(s.labels) for s in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [1_197, 300, 300]


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        load("digits")
