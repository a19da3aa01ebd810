"""The OpenAPI document as one HTML page: nothing loaded from elsewhere, readable without scripts. Pure: no I/O but our
own assets.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from typing import Any

from collector.openapi.ingest import BASE
from collector.openapi.schemas import REF

_ASSETS = files("collector.openapi")
STYLE = _ASSETS.joinpath("page.css").read_text()
SCRIPT = _ASSETS.joinpath("page.js").read_text()
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 13V9h3v4zm4.5 0V6h3v7zM11 13V3h3v10z' fill='%230f766e'/%3E%3C/svg%3E"
)
METHODS = ("get", "post")
_BOUNDS = {2**63 - 1: "2⁶³ − 1", 10**18 - 1: "10¹⁸ − 1"}


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own style and its own script, and nothing else."""


def render(document: dict[str, Any], base: str) -> str:
    """The page; `base` is the address that samples are shown with, such as http://127.0.0.1:8080."""
    info = document["info"]
    title = escape(info["title"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · API</title>
<link rel="icon" href="{_ICON}">
<style>{STYLE}</style>
</head>
<body>
<nav aria-label="Endpoints">
<p class="brand"><a href="#top">{title}</a> <span class="version">{escape(info["version"])}</span></p>
{"".join(_menu(document))}
<p class="group">Reference</p>
<ul><li><a href="#schemas">Schemas</a></li><li><a href="/openapi.json">openapi.json</a></li></ul>
</nav>
<main id="top">
<header>
<h1>{title} <span class="thin">API</span></h1>
<p class="lead">{escape(info["summary"])}</p>
{_text(info["description"])}
</header>
{"".join(_sections(document, base))}
<section id="schemas"><h2>Schemas</h2>
{"".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())}
</section>
<footer><p>Made from <a href="/openapi.json">openapi.json</a> (OpenAPI {escape(document["openapi"])}).</p></footer>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _tagged(document: dict[str, Any], tag: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [found for found in _operations(document) if tag in found[2]["tags"]]


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _menu(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f'<p class="group">{escape(tag["name"].capitalize())}</p>\n<ul>'
        for method, path, operation in _tagged(document, tag["name"]):
            yield f'<li><a href="#{escape(operation["operationId"])}">{_method(method)} {_path(path)}</a></li>'
        yield "</ul>\n"


def _sections(document: dict[str, Any], base: str) -> Iterator[str]:
    for tag in document["tags"]:
        name = escape(tag["name"])
        yield f'<section id="{name}"><h2>{name.capitalize()}</h2>\n{_text(tag["description"])}\n'
        for method, path, operation in _tagged(document, tag["name"]):
            yield _operation(method, path, operation, base)
        yield "</section>\n"


def _operation(method: str, path: str, operation: dict[str, Any], base: str) -> str:
    anchor = escape(operation["operationId"])
    parts = [
        f'<article id="{anchor}">\n<h3><a class="anchor" href="#{anchor}">{escape(operation["summary"])}</a></h3>\n',
        f'<p class="route">{_method(method)} <code>{_path(path)}</code></p>\n{_text(operation["description"])}\n',
    ]
    if parameters := operation.get("parameters"):
        parts.append("<h4>Parameters</h4>\n<dl>" + "".join(map(_parameter, parameters)) + "</dl>\n")
    if body := operation.get("requestBody"):
        parts.append("<h4>Body</h4>\n<dl>" + "".join(_contents(body["content"])) + "</dl>\n")
    own = [(status, answer) for status, answer in operation["responses"].items() if "$ref" not in answer]
    parts.append("<h4>Answers</h4>\n" + "".join(map(_answer, own)))
    parts.append("<h4>Try it</h4>\n" + "".join(_sample(sample, base) for sample in operation["x-codeSamples"]))
    return "".join(parts) + "</article>\n"


def _parameter(parameter: dict[str, Any]) -> str:
    needed = ' <span class="needed">required</span>' if parameter.get("required") else ""
    kind = f'<span class="kind">{escape(parameter["in"])} · {_kind(parameter["schema"])}</span>'
    example = f" For example <code>{escape(str(parameter['example']))}</code>." if "example" in parameter else ""
    return (
        f"<dt><code>{escape(parameter['name'])}</code> {kind}{needed}</dt>"
        f"<dd>{_inline(parameter.get('description', ''))}{example}</dd>\n"
    )


def _contents(content: dict[str, Any]) -> Iterator[str]:
    """Media types, those that mean the same together."""
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for media_type, described in content.items():
        same = next((names for other, names in alike if other == described), None)
        if same is None:
            alike.append((described, [media_type]))
        else:
            same.append(media_type)
    for described, names in alike:
        types = " or ".join(f"<code>{escape(name)}</code>" for name in names)
        yield f'<dt>{types} <span class="kind">{_kind(described["schema"])}</span></dt>'
        example = described.get("example")
        yield f"<dd>{_block(_shown(example))}</dd>\n" if example is not None else "<dd></dd>\n"


def _answer(item: tuple[str, dict[str, Any]]) -> str:
    status, answer = item
    content = answer.get("content", {})
    headers = "".join(
        f'<dt><code>{escape(name)}</code> <span class="kind">header · {_kind(header["schema"])}</span></dt>'
        f"<dd>{_inline(header['description'])}</dd>\n"
        for name, header in answer.get("headers", {}).items()
    )
    said = f'<span class="status s{status[0]}">{escape(status)}</span> <span>{_inline(answer["description"])}</span>'
    if not content and not headers:
        return f'<div class="answer"><p>{said}</p></div>\n'
    inside = "<dl>" + "".join(_contents(content)) + headers + "</dl>"
    return f'<details class="answer"><summary>{said}</summary>{inside}</details>\n'


def _sample(sample: dict[str, str], base: str) -> str:
    answer = _block(sample["answer"], "said") if sample["answer"] else ""
    return (
        f"<figure><figcaption>{escape(sample['label'])}</figcaption>"
        f"{_block(sample['source'].replace(BASE, base), 'shell')}{answer}</figure>\n"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f'<dt><code>{escape(field)}</code> <span class="kind">{_kind(described)}</span>'
        f"{'' if field in required else ' <span class=optional>optional</span>'}</dt>"
        f"<dd>{_inline(described.get('description', ''))}</dd>\n"
        for field, described in schema["properties"].items()
    )
    return (
        f'<article id="schema-{escape(name)}"><h3><a class="anchor" href="#schema-{escape(name)}">{escape(name)}</a>'
        f"</h3>\n{_text(schema['description'])}\n<dl>{rows}</dl></article>\n"
    )


def _kind(schema: dict[str, Any]) -> str:
    """What a value may be, in words, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(REF))
        return f'<a href="#schema-{name}">{name}</a>'
    if "contentSchema" in schema:
        return f"lines of {_kind(schema['contentSchema'])}"
    if "anyOf" in schema:
        return _either(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return _either(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kinds: str | list[str] = schema["type"]
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    words = [{"date-time": "RFC 3339 time"}.get(schema.get("format", ""), kind)]
    if schema.get("pattern") == "^[0-9]{1,15}$":
        words = ["epoch milliseconds"]
    if "maxLength" in schema:
        words.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    if "minimum" in schema:
        high = schema.get("maximum")
        words.append(f"{schema['minimum']} or more" if high is None else f"{schema['minimum']} to {_number(high)}")
    if "default" in schema:
        words.append(f"{schema['default']} by default")
    return escape(", ".join(words))


def _either(kinds: Iterable[str]) -> str:
    return " or ".join(kinds)


def _number(value: int) -> str:
    return _BOUNDS.get(value, f"{value:,}")


def _path(path: str) -> str:
    """A path with its parameters set off."""
    return re.sub(r"(\{\w+\})", r"<i>\1</i>", escape(path))


def _shown(example: Any) -> str:
    """An example as it goes over the wire."""
    return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, separators=(",", ":"))


def _block(text: str, kind: str = "") -> str:
    return f'<pre class="{kind}" tabindex="0"><code>{escape(text.rstrip())}</code></pre>'


def _inline(text: str) -> str:
    """`code` and nothing else of Markdown."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _text(text: str) -> str:
    """Paragraphs and lists of Markdown."""
    return "\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", text.strip()))


def _paragraph(part: str) -> str:
    if not part.startswith("- "):
        return f"<p>{_inline(part)}</p>"
    items = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
    return "<ul>" + "".join(f"<li>{_inline(item.strip())}</li>" for item in items) + "</ul>"
