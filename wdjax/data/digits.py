"""The 8 × 8 digits of scikit-learn, for smoke tests: decay changes nothing on them."""

import numpy as np
from jaxtyping import Float, UInt8

from wdjax.data.types import DataError, Dataset, Split

CITATION = (
    "Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
    "Learning Repository, doi:10.24432/C50P49; as shipped with scikit-learn."
)
NUM_TRAIN, NUM_VALIDATION = 1_197, 300


def enlarge(images: Float[np.ndarray, "n 8 8"]) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Repeat every pixel 4 × 4 times, in three channels; 0…16 becomes 0…255."""
    grey = np.round(images * (255 / 16)).astype(np.uint8)
    large = grey.repeat(4, axis=1).repeat(4, axis=2)
    return np.repeat(large[..., None], 3, axis=-1)


def digits() -> Dataset:
    """Load the digits: 1,197 training, 300 validation and 300 test, in file order.

    Raises:
        DataError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "The set 'digits' comes with scikit-learn, which is not installed: "
            "`pip install scikit-learn`, or load 'photos10', which needs nothing."
        ) from error

    images, labels = load_digits(return_X_y=True)
    images = enlarge(np.asarray(images).reshape(-1, 8, 8))
    labels = np.asarray(labels, np.int32)
    cuts = [NUM_TRAIN, NUM_TRAIN + NUM_VALIDATION]
    train, validation, test = map(Split, np.split(images, cuts), np.split(labels, cuts))
    return Dataset(
        name="digits",
        citation=CITATION,
        licence="CC BY 4.0",
        classes=tuple(map(str, range(10))),
        train=train,
        validation=validation,
        test=test,
    )
