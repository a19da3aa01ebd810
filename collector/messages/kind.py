"""A kind of messages that needs nothing of its own beyond its fields: they become the columns of a table. Pure: no I/O.

What is said here is all: the endpoint, how its lines are read, COPY, the description in OpenAPI, how long rows are kept
and `collector import` follow from it. Messages with a clock of their own, with rows in several tables, or of which some
are left out, have code: see `hit` and `session`, and the modules of their tables in `store`.
"""

from typing import Any

import msgspec
from msgspec.inspect import BoolType, DateTimeType, FloatType, IntType, LiteralType, NoneType, StrType, Type, UnionType

from collector.messages.decoding import Decoder, Stateless
from collector.messages.fields import nul_in

SCALARS = (StrType, IntType, FloatType, BoolType, DateTimeType, LiteralType, NoneType)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one endpoint, and the table of their rows: a column for each field, by the field's Python name, and
    `received_at`. Raises TypeError for a field that is no column.
    """

    path: str
    table: str
    message: type[msgspec.Struct]
    """Its fields are texts, numbers, booleans, moments (`datetime` with an offset) or null."""
    summary: str
    """What a POST does, in a few words: "Store temperatures"."""
    examples: tuple[dict[str, Any], ...]
    """Messages as they are sent: a first one by itself, all of them as lines."""
    keep: str | float
    """For how long rows are kept: a field of `Settings`, or days."""
    columnstore: str | float
    """From when on they are columnar: the same."""

    def __post_init__(self) -> None:
        info = msgspec.inspect.type_info(self.message)
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            if not _is_column(field.type):
                raise TypeError(f"{self.message.__name__}.{field.name}: not a type that a column takes as it is")

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields in their order, then what the collector adds."""
        return (*self.message.__struct_fields__, "received_at")

    def reader(self) -> Stateless:
        """Reads the lines of a request."""
        return Stateless(Decoder(self.message, self._problem))

    def _problem(self, row: msgspec.Struct) -> str | None:
        fields = msgspec.structs.fields(self.message)
        values = {field.encode_name: getattr(row, field.name) for field in fields}
        return nul_in(**{name: value for name, value in values.items() if isinstance(value, str)})


def _is_column(kind: Type) -> bool:
    if isinstance(kind, UnionType):
        return all(_is_column(each) for each in kind.types)
    return isinstance(kind, SCALARS) and not (isinstance(kind, DateTimeType) and kind.tz is not True)
