"""Reports as plain data."""

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Plain data for JSON, which has no NaN and no infinity: ``None`` for them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):  # of NumPy, too
        return float(value) if math.isfinite(value) else None
    return value
