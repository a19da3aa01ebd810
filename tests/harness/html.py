"""HTML as a test looks at it: elements, texts, links; and what every page of ours keeps to."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from collector.web.layout import Sheet

VOID = {"meta", "link", "wbr", "br", "input"}


class Page(HTMLParser):
    """Elements with their attributes, ids and links; fails where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        """Texts by tag, those of elements inside too."""
        self._open: list[str] = []
        self.text = ""
        """All that a reader sees."""
        self.feed(html.encode().decode())  # a plain text, whatever made it
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.contents.setdefault(tag, []).append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/> is not HTML")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.contents[tag][-1] += data
        if not {"style", "script", "title"} & set(self._open):
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of this kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str]:
        """Where links lead."""
        return [attributes["href"] or "" for attributes in self.of("a")]

    def check_alone(self, look: Sheet) -> None:
        """It loads nothing, and its policy allows just what it has; ids are its own, and labels lead to them."""
        assert not self.attributes("src")
        assert not self.attributes("style")
        assert not [name for _, attributes in self.elements for name in attributes if name.startswith("on")]
        assert not {"iframe", "object", "embed", "img", "base"} & self.contents.keys()
        icons = [attributes["href"] or "" for attributes in self.of("link")]
        assert all(icon.startswith("data:") for icon in icons)
        (style,) = self.contents["style"]
        assert "url(" not in style
        assert "@import" not in style
        allowed = dict(part.strip().split(" ", 1) for part in look.policy.split(";"))
        assert allowed["default-src"] == "'none'"
        for tag in ("style", "script"):
            for text in self.contents.get(tag, []):
                digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"
        ids = self.attributes("id")
        assert len(ids) == len(set(ids))
        assert set(self.attributes("aria-labelledby")) <= set(ids)
        assert {href[1:] for href in self.links() if href.startswith("#")} <= set(ids)
        assert all(re.match(r"[/#?]", href) for href in self.links()), self.links()
