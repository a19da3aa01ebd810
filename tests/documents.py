"""What README.md and docs/ are made of: their blocks, links and generated tables.

`python -m tests.documents` writes the generated tables anew.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from collector.openapi.schemas import field_texts
from collector.settings import KIB, MIB, Settings, variable

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
PROMISES = ROOT / "PROMISES.md"
DATA_MODEL = ROOT / "docs" / "data-model.md"
OPERATIONS = ROOT / "docs" / "operations.md"
PAGES = [README, CHANGELOG, PROMISES, *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- /settings -->)", re.DOTALL)


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
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in plain}


def settings_table(kind: str) -> str:
    """Every setting with its default and its text: of `brief` the first clause, of `full` all."""
    rows = ["| variable | default | what |", "|---|---|---|"]
    texts = field_texts(Settings)
    for field in msgspec.structs.fields(Settings):
        text = texts[field.name] if kind == "full" else _brief(texts[field.name])
        rows.append(f"| `{variable(field.name)}` | {_default(field.default)} | {text.rstrip('.')} |")
    return "\n".join(rows) + "\n"


def with_tables(text: str) -> str:
    """The page with its generated tables."""
    return _TABLE.sub(lambda found: f"{found[1]}{settings_table(found[2])}{found[3]}", text)


def _brief(text: str) -> str:
    """Up to the first reason: a colon, a semicolon or the end of a sentence."""
    return re.split(r"[:;]\s|\.(?:\s|$)", text)[0]


def _default(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= KIB and value % KIB == 0:
        size = f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
        return f"`{value}` ({size})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def tables_written() -> Iterator[Path]:
    """Write the generated tables; the pages that changed."""
    for page in PAGES:
        text = page.read_text()
        if (written := with_tables(text)) != text:
            page.write_text(written)
            yield page


if __name__ == "__main__":
    for changed in tables_written():
        print(f"{changed.relative_to(ROOT)}: settings written")
