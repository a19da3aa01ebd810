"""What README.md and docs/ are made of: their blocks, links and generated tables.

`python -m tests.documents` writes the generated tables anew.
"""

import asyncio
import itertools
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import htpy as h
import httpx
import msgspec

from collector.app import create_app
from collector.database.retention import KEPT, Age, age, shown
from collector.openapi import DESCRIPTION
from collector.openapi.ingest import JSON, LINES, NDJSON
from collector.openapi.page import kind
from collector.openapi.schemas import REF, field_texts
from collector.settings import KIB, MIB, Settings, variable

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
PROMISES = ROOT / "PROMISES.md"
DATA_MODEL = ROOT / "docs" / "data-model.md"
API = ROOT / "docs" / "api.md"
OPERATIONS = ROOT / "docs" / "operations.md"
SIMULATOR = ROOT / "docs" / "simulator.md"
SCALING = ROOT / "docs" / "scaling.md"
PAGES = [README, CHANGELOG, PROMISES, *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SETTINGS = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- /settings -->)", re.DOTALL)
_KEPT = re.compile(r"(<!-- kept -->\n).*?(<!-- /kept -->)", re.DOTALL)


class Block(msgspec.Struct, frozen=True):
    """A fenced block, and the block after it where only white space is between the two: what it prints."""

    language: str
    text: str
    answer: str | None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    found = list(_BLOCK.finditer(text))
    made = []
    for block, following in itertools.zip_longest(found, found[1:]):
        joined = following is not None and not text[block.end() : following.start()].strip()
        answer = following[2] if joined and following is not None and following[1] in ("text", "json", "csv") else None
        made.append(Block(block[1], block[2], answer))
    return made


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where a page's links go."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings."""
    return {_anchor(heading) for heading in _HEADING.findall(prose(page))}


def settings_table(kind: str) -> str:
    """Every setting with its default and its text: of `brief` the first clause, of `full` all."""
    rows = ["| variable | default | what |", "|---|---|---|"]
    texts = field_texts(Settings)
    for field in msgspec.structs.fields(Settings):
        text = texts[field.name] if kind == "full" else _brief(texts[field.name])
        default = _default(field.default, of_bytes=field.name.endswith("_bytes"))
        rows.append(f"| `{variable(field.name)}` | {default} | {text.rstrip('.')} |")
    return "\n".join(rows) + "\n"


def kept_table() -> str:
    """For how long rows of each kind are kept, and by which setting."""
    rows = ["| rows | kept | setting | columnar after | setting |", "|---|---|---|---|---|"]
    for kept in KEPT:
        named = f"`{kept.name}`" if kept.name == kept.table else f"{kept.name} in `{kept.table}`"
        columnar = ("", "") if kept.columnstore is None else _age(kept.columnstore)
        rows.append(
            f"| {' | '.join((named, *_age(kept.keep), *columnar))} |".replace("|  |", "| |").replace("|  |", "| |")
        )
    return "\n".join(rows) + "\n"


def _age(given: Age) -> tuple[str, str]:
    """By default, and the variable that says so."""
    return shown(age(Settings(), given)), f"`{variable(given)}`" if isinstance(given, str) else ""


def with_tables(text: str) -> str:
    """The page with its generated tables."""
    text = _SETTINGS.sub(lambda found: f"{found[1]}{settings_table(found[2])}{found[3]}", text)
    return _KEPT.sub(lambda found: f"{found[1]}{kept_table()}{found[2]}", text)


def api_page() -> str:
    """docs/api.md: every endpoint as /openapi.json describes it."""
    document = asyncio.run(_openapi())
    tags = [tag["name"] for tag in document["tags"]]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=lambda each: tags.index(each[2]["tags"][0]))
    lines = [_API_HEAD, "| request | what |", "|---|---|"]
    for method, path, operation in operations:
        lines.append(f"| [{method} {path}](#{_anchor(f'{method} {path}')}) | {operation['summary']} |")
    schemas = document["components"]["schemas"]
    for method, path, operation in operations:
        lines += ["", f"## {method} {path}", "", *_described(operation, schemas)]
    messages = {_message(operation) for _, _, operation in operations}
    lines += ["", "## Schemas", "", "Of what is answered; `required` is always there."]
    for name, schema in schemas.items():
        if name not in messages:
            lines += ["", f"### {name}", "", schema["description"], "", *_fields(schema)]
    return "\n".join(lines) + "\n"


async def _openapi() -> Any:
    def no_service() -> Any:
        raise AssertionError("a description needs none")

    transport = httpx.ASGITransport(create_app(no_service))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return (await client.get("/openapi.json")).json()


def _message(operation: dict[str, Any]) -> str | None:
    """The schema of the messages that are sent."""
    content = operation.get("requestBody", {"content": {}})["content"]
    return content[NDJSON]["schema"]["contentSchema"]["$ref"].removeprefix(REF) if content else None


def _described(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """An operation's own words (those of all lines are at the top), parameters, fields, answers and samples."""
    yield operation["description"].replace(LINES.strip(), "[JSON lines](#json-lines), too.").strip()
    if parameters := operation.get("parameters"):
        yield from ("", "| parameter | where | type | what |", "|---|---|---|---|")
        for given in parameters:
            needed = ", required" if given.get("required") else ""
            yield f"| `{given['name']}` | {given['in']} | {_kind(given['schema'])}{needed} | {given['description']} |"
    if message := _message(operation):
        yield from ("", f"`{message}`: {schemas[message]['description']}", "", *_fields(schemas[message]))
    yield from ("", "| status | when |", "|---|---|")
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            continue  # of every endpoint: at the top
        shown = answer.get("content", {}).get(JSON, {}).get("schema")
        what = f" {_kind(shown)}" if shown is not None else ""
        yield f"| {status} | {' '.join(answer['description'].split())}{what} |"
    for given in operation["x-codeSamples"]:
        language = "json" if given["answer"].startswith("{") else "text"
        yield from ("", f"{given['label']}:", "", f"```sh\n{given['source']}\n```")
        if given["answer"]:
            yield from ("", f"```{language}\n{given['answer'].rstrip()}\n```")


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """A schema's fields; those that are needed are said to be, by its own words or by a rule on several."""
    needed = {*schema.get("required", ())}.union(*(rule.get("required", ()) for rule in schema.get("allOf", ())))
    yield from ("| field | type | | what |", "|---|---|---|---|")
    for name, field in schema["properties"].items():
        must = "required" if name in needed else ""
        row = f"| `{name}` | {_kind(field)} | {must} | {field.get('description', '')} |"
        yield row.replace("|  |", "| |").replace("|  |", "| |")


def _kind(schema: dict[str, Any]) -> str:
    """What a value may be, as Markdown."""
    text = re.sub(r"</?code>", "`", str(h.fragment[kind(schema)]))
    return unescape(re.sub(r"<a [^>]*>(\w+)</a>", lambda found: f"[{found[1]}](#{_anchor(found[1])})", text))


_API_HEAD = f"""# API

Every endpoint, as `/openapi.json` describes it; `/docs` of a collector shows the same with commands for its address.
This page is made from that description, and the samples run in the tests.
{DESCRIPTION}
## JSON lines
{LINES}
## Endpoints
"""


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _brief(text: str) -> str:
    """Up to the first reason: a colon, a semicolon or the end of a sentence."""
    return re.split(r"[:;]\s|\.(?:\s|$)", text)[0]


def _default(value: object, *, of_bytes: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if of_bytes and isinstance(value, int) and value >= KIB and value % KIB == 0:
        size = f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
        return f"`{value}` ({size})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def tables_written() -> Iterator[Path]:
    """Write the generated tables and pages; those that changed."""
    if not API.exists() or API.read_text() != api_page():
        API.write_text(api_page())
        yield API
    for page in PAGES:
        text = page.read_text()
        if (written := with_tables(text)) != text:
            page.write_text(written)
            yield page


if __name__ == "__main__":
    for changed in tables_written():
        print(f"{changed.relative_to(ROOT)}: written")
