"""The tolerances, fixed beforehand in one file, and that file's digest."""

import hashlib
import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("tolerances.toml")


def tolerances(experiment: str) -> dict[str, float]:
    """The tolerances of one experiment, by name.

    Args:
        experiment: its module's name.

    Returns:
        Numbers, as in ``tolerances.toml``.
    """
    return tomllib.loads(FILE.read_text(encoding="utf-8"))[experiment]


def digest() -> str:
    """The SHA-256 of the file, which every saved verdict carries."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()
