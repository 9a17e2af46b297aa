"""Image sets in memory, each one a :class:`Dataset`, and synthetic problems.

Splits, the same whenever a set is loaded: photos10 is split by tiles of its
photographs; of the other sets the published test set is the test set and the last
tenth of the published training set, in file order, is the validation set.
"""

from wdjax.data.registry import load
from wdjax.data.types import DataError, Dataset, Split

__all__ = ["DataError", "Dataset", "Split", "load"]
