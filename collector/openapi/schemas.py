"""The schemas of what is sent and answered, from the Structs of the code. Pure: no I/O but reading our own source."""

import ast
import functools
import inspect
import textwrap
from typing import Any

import msgspec

from collector.messages.fields import NAME_MAX_CHARACTERS

REF = "#/components/schemas/"


class LineError(msgspec.Struct):
    """Why a line was rejected."""

    line: int
    """Counted from 1 over the whole stream, blank lines too."""
    detail: str


class Summary(msgspec.Struct):
    """What became of the lines of a stream, by this request or an earlier one with its key."""

    accepted: int
    """Lines that are stored."""
    rejected: int
    """Lines that could not be accepted; they are kept in quarantine."""
    errors: list[LineError]
    """The first 100 rejected lines."""


class Receipt(msgspec.Struct):
    """A line of the answer to a stream, after a commit: what is stored for good."""

    committed: int
    """Physical lines of the stream, blank ones too: where to go on after a cut."""
    rejected: int


class ProblemDetails(msgspec.Struct, rename={"kind": "type"}):
    """What went wrong (RFC 9457)."""

    kind: str
    """Always `about:blank`: the status says it."""
    title: str
    """The same for every problem of its kind."""
    status: int
    detail: str
    """For a person: what was wrong here, with the path of the field or the name of the parameter."""


class LinesProblem(ProblemDetails):
    """What went wrong with a stream, and what is committed in spite of it. The last four members are there once the
    stream was begun.
    """

    committed: int | msgspec.UnsetType = msgspec.UNSET
    """Physical lines of the stream that are committed: where to go on."""
    accepted: int | msgspec.UnsetType = msgspec.UNSET
    rejected: int | msgspec.UnsetType = msgspec.UNSET
    errors: list[LineError] | msgspec.UnsetType = msgspec.UNSET


RULES: dict[str, dict[str, Any]] = {
    "LogMessage": {
        "allOf": [
            {"required": ["seq"], "properties": {"seq": {"type": "integer"}}},
            {
                "anyOf": [
                    {"required": ["time"], "properties": {"time": {"type": ["integer", "string"]}}},
                    {"required": ["elapsed"], "properties": {"elapsed": {"type": "number"}}},
                ]
            },
        ]
    }
}
"""By Struct: what the reader of its messages demands of several fields, `collector.messages`."""


def components(*more: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON schemas by name: of the Structs here and of these, with the texts beside their fields
    as descriptions.
    """
    structs: list[type[msgspec.Struct]] = [LineError, Summary, Receipt, ProblemDetails, LinesProblem]
    structs += dict.fromkeys(more)
    _, schemas = msgspec.json.schema_components(structs, ref_template=REF + "{name}")
    for struct in structs:
        schema = schemas[struct.__name__]
        schema["description"] = one_line(struct.__doc__ or "")
        schema.update(RULES.get(struct.__name__, {}))
        documented = field_texts(struct)
        for known in msgspec.structs.fields(struct):
            if text := documented.get(known.name):
                schema["properties"][known.encode_name]["description"] = text
    # What a Struct does not say but the decoder does: PostgreSQL cannot store NUL.
    for schema in schemas.values():
        for described in schema.get("properties", {}).values():
            if described.get("maxLength") == NAME_MAX_CHARACTERS:
                described["pattern"] = r"^[^\u0000]*$"
    return schemas


def ref(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """A reference to the schema of a Struct."""
    return {"$ref": REF + struct.__name__}


@functools.cache
def field_texts(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The text after each field of a Struct, those of its bases too, by the field's name."""
    texts: dict[str, str] = {}
    for base in struct.__bases__:
        if base is not msgspec.Struct:
            texts |= field_texts(base)
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(tree, ast.ClassDef)
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            texts[statement.target.id] = one_line(str(following.value.value))
    return texts


def one_line(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())
