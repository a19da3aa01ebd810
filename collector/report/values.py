"""Values of dimensions: what is a number, and how each is written. Pure."""

import math
from typing import TypeGuard

import msgspec

from collector.report.model import Scalar


def is_number(value: Scalar) -> TypeGuard[int | float]:
    """Numbers that can be compared; true and false are names."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def plain(number: float) -> Scalar:
    """A number as people write it."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def text_of(value: Scalar) -> str:
    """A value as JSON writes it, names as they are."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(plain(value) if isinstance(value, float) else value).decode()
