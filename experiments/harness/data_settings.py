"""The data set of a study, as settings that the command line knows."""

import dataclasses
from pathlib import Path

from wdjax.data import Dataset, load


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which images; configurations of studies inherit from it.

    Attributes:
        data: the name of the set.
        data_dir: where the user's copy is.
        allow_unverified: accept files that are not those published.
        data_remark: what else to say of them on every output.
    """

    data: str = "photos10"
    data_dir: Path | None = None
    allow_unverified: bool = False
    data_remark: str = ""

    def load_data(self) -> Dataset:
        """The data set, with the remark in its label.

        Raises:
            ValueError: as :func:`wdjax.data.load`.
        """
        loaded = load(self.data, self.data_dir, allow_unverified=self.allow_unverified)
        return dataclasses.replace(loaded, remark=self.data_remark)
