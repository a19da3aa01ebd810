"""What is said of rows, as arrays: names as codes, numbers as they are. Pure: no I/O."""

import math
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from collector.report.model import Condition, Scalar
from collector.report.values import is_number, plain, text_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEW_VALUES = 10
"""A number with no more values than this may also be a name: cores, or an API level."""


class Names(msgspec.Struct):
    """A code for each row, -1 where it says nothing, and the values by their codes."""

    codes: Ints
    values: list[Scalar]


class Columns(msgspec.Struct):
    """By dimension. A dimension may be in both: a number of few values, or one that some call by a name."""

    names: dict[str, Names]
    numbers: dict[str, Floats]
    """NaN where a row says none."""

    def __contains__(self, dimension: str) -> bool:
        return dimension in self.names or dimension in self.numbers

    def fulfilling_of(self, condition: Condition, rows: Ints) -> Bools:
        """Which of these rows do."""
        some = Columns(
            {
                name: Names(names.codes[rows], names.values)
                for name, names in self.names.items()
                if name == condition.dimension
            },
            {name: numbers[rows] for name, numbers in self.numbers.items() if name == condition.dimension},
        )
        return some.fulfilling(condition.dimension, condition.op, condition.value, len(rows))

    def fulfilling(self, dimension: str, op: str, value: Scalar, rows: int) -> Bools:
        """Which rows fulfil the condition. Names and numbers are equal where their texts are."""
        fulfil = np.zeros(rows, np.bool_)
        if op == "=":
            names = self.names.get(dimension)
            if names is not None:
                codes = [code for code, other in enumerate(names.values) if text_of(other) == text_of(value)]
                fulfil |= np.isin(names.codes, codes)
            number = _number_of(value)
            if number is not None and dimension in self.numbers:
                fulfil |= self.numbers[dimension] == number
        elif dimension in self.numbers and is_number(value):
            numbers = self.numbers[dimension]
            fulfil = numbers > value if op == ">" else numbers <= value
        return fulfil


def columns_of(rows: Iterable[Mapping[str, Scalar]]) -> Columns:
    """Of what each row says by its dimensions."""
    codes: dict[str, list[int]] = {}
    numbers: dict[str, list[float]] = {}
    values: dict[str, dict[str, Scalar]] = {}
    places: dict[str, dict[str, int]] = {}
    where: dict[str, list[int]] = {}
    number_where: dict[str, list[int]] = {}
    count = 0
    for at, row in enumerate(rows):
        count = at + 1
        for dimension, value in row.items():
            if not isinstance(value, str) and is_number(value):
                numbers.setdefault(dimension, []).append(float(value))
                number_where.setdefault(dimension, []).append(at)
                continue
            text = value if isinstance(value, str) else text_of(value)
            known = places.setdefault(dimension, {})
            code = known.get(text)
            if code is None:
                code = known[text] = len(known)
                values.setdefault(dimension, {})[text] = value
            codes.setdefault(dimension, []).append(code)
            where.setdefault(dimension, []).append(at)
    found = Columns({}, {})
    for dimension, said in codes.items():
        column = np.full(count, -1, np.int64)
        column[where[dimension]] = said
        found.names[dimension] = Names(column, list(values[dimension].values()))
    for dimension, said_numbers in numbers.items():
        number_column = np.full(count, np.nan)
        number_column[number_where[dimension]] = said_numbers
        found.numbers[dimension] = number_column
        _name_few(found, dimension)
    return found


def _name_few(columns: Columns, dimension: str) -> None:
    """Let a number of few values be a name, too."""
    numbers = columns.numbers[dimension]
    said = ~np.isnan(numbers)
    distinct, codes = np.unique(numbers[said], return_inverse=True)
    if len(distinct) > FEW_VALUES:
        return
    names = columns.names.setdefault(dimension, Names(np.full(len(numbers), -1, np.int64), []))
    names.codes[said] = codes + len(names.values)
    names.values += [plain(float(number)) for number in distinct]


def _number_of(value: Scalar) -> float | None:
    """The number whose text this is."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and text_of(plain(number)) == text_of(value) else None
