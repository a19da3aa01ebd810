"""The files that Grafana reads, and what has to be in them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dashboards import alerts
from dashboards.audience import AUDIENCE
from dashboards.clients import CLIENTS
from dashboards.health import HEALTH
from dashboards.streaming import STREAMING

FOLDER = Path(__file__).resolve().parent / "grafana"
"""Beside these, provisioning/ has files that are written by hand."""

DASHBOARDS = [STREAMING, CLIENTS, AUDIENCE, HEALTH]


def contents() -> dict[Path, str]:
    """What is written, by its path."""
    found = {FOLDER / "dashboards" / f"{each.uid.removeprefix('collector-')}.json": _json(each) for each in DASHBOARDS}
    found[FOLDER / "provisioning" / "alerting" / "collector.json"] = _json(alerts.document())
    return found


def write() -> Iterator[Path]:
    """Write them; the files that changed."""
    wanted = contents()
    for path in {path for folder in {path.parent for path in wanted} for path in folder.glob("*.json")} - set(wanted):
        path.unlink()
        yield path
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            yield path


def _json(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
