"""Numbers as plain JSON, and as words."""

import math
from collections.abc import Iterable


def numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers as plain JSON: None for what is not finite."""
    return [value if math.isfinite(value) else None for value in values]


def span(values: Iterable[float | None], digits: int = 2) -> str:
    """The smallest and the largest of some numbers, as "0.61 to 0.99"; "none" without any."""
    there = [value for value in values if value is not None]
    return f"{min(there):.{digits}f} to {max(there):.{digits}f}" if there else "none"
