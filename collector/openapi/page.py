"""The OpenAPI document as one HTML page: nothing loaded from elsewhere, readable without scripts. Pure."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import htpy as h

from collector.openapi.ingest import BASE
from collector.openapi.schemas import REF
from collector.web.layout import Sheet, page, sheet

_BOUNDS = {2**63 - 1: "2⁶³ − 1", 10**18 - 1: "10¹⁸ − 1"}


def look() -> Sheet:
    """Its style and script."""
    return sheet("docs.css", "docs.js")


def render(document: dict[str, Any], base: str, *, signed_in: bool = False) -> str:
    """The page; `base` is the address that samples are shown with, such as http://127.0.0.1:8080."""
    info = document["info"]
    body = h.div(".docs")[
        h.nav(".side", aria_label="Endpoints")[
            list(_menu(document)),
            h.p(".group")["Reference"],
            h.ul[h.li[h.a(href="#schemas")["Schemas"]], h.li[h.a(href="/openapi.json")["openapi.json"]]],
        ],
        h.main("#main")[
            h.header[
                h.h1[info["title"], " ", h.span(".thin")["API"], " ", h.span(".version")[info["version"]]],
                h.p(".lead")[info["summary"]],
                _text(info["description"]),
            ],
            list(_sections(document, base)),
            h.section("#schemas")[
                h.h2["Schemas"],
                (_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
            ],
            h.footer[
                h.p["Made from ", h.a(href="/openapi.json")["openapi.json"], f" (OpenAPI {document['openapi']})."]
            ],
        ],
    ]
    return page(look(), f"{info['title']} · API", body, current="/docs", signed_in=signed_in)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _tagged(document: dict[str, Any], tag: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [found for found in _operations(document) if tag in found[2]["tags"]]


def _method(method: str) -> h.Element:
    return h.span(class_=f"method {method}")[method.upper()]


def _menu(document: dict[str, Any]) -> Iterator[h.Element]:
    for tag in document["tags"]:
        yield h.p(".group")[tag["name"].capitalize()]
        yield h.ul[
            (
                h.li[h.a(href=f"#{operation['operationId']}")[_method(method), " ", _path(path)]]
                for method, path, operation in _tagged(document, tag["name"])
            )
        ]


def _sections(document: dict[str, Any], base: str) -> Iterator[h.Element]:
    for tag in document["tags"]:
        name = tag["name"]
        yield h.section(id=name)[
            h.h2[name.capitalize()],
            _text(tag["description"]),
            (_operation(method, path, operation, base) for method, path, operation in _tagged(document, name)),
        ]


def _operation(method: str, path: str, operation: dict[str, Any], base: str) -> h.Element:
    anchor = operation["operationId"]
    parameters, body = operation.get("parameters"), operation.get("requestBody")
    return h.article(id=anchor)[
        h.h3[h.a(".anchor", href=f"#{anchor}")[operation["summary"]]],
        h.p(".route")[_method(method), " ", h.code[_path(path)]],
        _text(operation["description"]),
        [h.h4["Parameters"], h.dl[(_parameter(each) for each in parameters)]] if parameters else None,
        [h.h4["Body"], h.dl[_contents(body["content"])]] if body else None,
        h.h4["Answers"],
        (_answer(status, answer) for status, answer in operation["responses"].items() if "$ref" not in answer),
        h.h4["Try it"],
        (_sample(sample, base) for sample in operation["x-codeSamples"]),
    ]


def _parameter(parameter: dict[str, Any]) -> h.Fragment:
    example = ["For example ", h.code[str(parameter["example"])], "."] if "example" in parameter else None
    return h.fragment[
        h.dt[
            h.code[parameter["name"]],
            h.span(".kind")[" ", parameter["in"], " · ", kind(parameter["schema"])],
            h.span(".needed")[" required"] if parameter.get("required") else None,
        ],
        h.dd[_inline(parameter.get("description", "")), " ", example],
    ]


def _contents(content: dict[str, Any]) -> Iterator[h.Fragment]:
    """Media types, those that mean the same together."""
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for media_type, described in content.items():
        same = next((names for other, names in alike if other == described), None)
        if same is None:
            alike.append((described, [media_type]))
        else:
            same.append(media_type)
    for described, names in alike:
        types = _either(h.code[name] for name in names)
        example = described.get("example")
        yield h.fragment[
            h.dt[types, h.span(".kind")[" ", kind(described["schema"])]],
            h.dd[None if example is None else _block(_shown(example))],
        ]


def _answer(status: str, answer: dict[str, Any]) -> h.Element:
    content, headers = answer.get("content", {}), answer.get("headers", {})
    said = [h.span(class_=f"status s{status[0]}")[status], h.span[_inline(answer["description"])]]
    if not content and not headers:
        return h.div(".answer")[h.p[said]]
    return h.details(".answer")[
        h.summary[said],
        h.dl[
            _contents(content),
            (
                h.fragment[
                    h.dt[h.code[name], h.span(".kind")[" header · ", kind(header["schema"])]],
                    h.dd[_inline(header["description"])],
                ]
                for name, header in headers.items()
            ),
        ],
    ]


def _sample(sample: dict[str, str], base: str) -> h.Element:
    return h.figure[
        h.figcaption[sample["label"]],
        _block(sample["source"].replace(BASE, base), "shell"),
        _block(sample["answer"], "said") if sample["answer"] else None,
    ]


def _schema(name: str, schema: dict[str, Any]) -> h.Element:
    required = schema.get("required", [])
    return h.article(id=f"schema-{name}")[
        h.h3[h.a(".anchor", href=f"#schema-{name}")[name]],
        _text(schema["description"]),
        h.dl[
            (
                h.fragment[
                    h.dt[
                        h.code[field],
                        h.span(".kind")[" ", kind(described)],
                        None if field in required else h.span(".optional")[" optional"],
                    ],
                    h.dd[_inline(described.get("description", ""))],
                ]
                for field, described in schema["properties"].items()
            )
        ],
    ]


def kind(schema: dict[str, Any]) -> h.Node:
    """What a value may be, in words, `code` and links to schemas."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return h.a(href=f"#schema-{name}")[name]
    if "contentSchema" in schema:
        return ["lines of ", kind(schema["contentSchema"])]
    if "anyOf" in schema:
        return _either(kind(each) for each in schema["anyOf"])
    default = [f"{_number(schema['default'])} by default"] if schema.get("default") is not None else []
    if "enum" in schema:
        return [_either(h.code[str(value)] for value in schema["enum"]), *(f", {text}" for text in default)]
    kinds: str | list[str] = schema["type"]
    said = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if said == "array":
        return ["list of ", kind(schema["items"])]
    words = [{"date-time": "RFC 3339 time"}.get(schema.get("format", ""), said)]
    if schema.get("pattern") == "^[0-9]{1,15}$":
        words = ["epoch milliseconds"]
    if "maxLength" in schema:
        words.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    if "minimum" in schema:
        high = schema.get("maximum")
        words.append(f"{schema['minimum']} or more" if high is None else f"{schema['minimum']} to {_number(high)}")
    if "exclusiveMinimum" in schema:
        words.append(f"over {schema['exclusiveMinimum']}, up to {_number(schema['maximum'])}")
    return ", ".join(words + default)


def _either(kinds: Iterable[h.Node]) -> list[h.Node]:
    return [[" or ", kind] if place else kind for place, kind in enumerate(kinds)]


def _number(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _BOUNDS.get(value, f"{value:,}") if isinstance(value, int) else str(value)


def _path(path: str) -> list[h.Node]:
    """A path with its parameters set off."""
    return [h.i[part] if part.startswith("{") else part for part in re.split(r"(\{\w+\})", path)]


def _shown(example: Any) -> str:
    """An example as it goes over the wire."""
    return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, separators=(",", ":"))


def _block(text: str, kind: str | None = None) -> h.Element:
    return h.pre(class_=kind, tabindex="0")[h.code[text.rstrip()]]


def _inline(text: str) -> list[h.Node]:
    """`code` and nothing else of Markdown."""
    return [h.code[part] if place % 2 else part for place, part in enumerate(re.split(r"`([^`]+)`", text))]


def _text(text: str) -> list[h.Element]:
    """Paragraphs and lists of Markdown."""
    return [_paragraph(part) for part in re.split(r"\n\s*\n", text.strip())]


def _paragraph(part: str) -> h.Element:
    if not part.startswith("- "):
        return h.p[_inline(part)]
    items = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
    return h.ul[(h.li[_inline(item.strip())] for item in items)]
