"""Ledgers as files: JSON that says its kind, so that the truth outlives the run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from simulation.truth.diaries import SavedDiaries
from simulation.truth.hours import SavedHours
from simulation.truth.ledger import Queued, Saved

One = Saved | Queued | SavedHours | SavedDiaries


class Several(Struct, tag_field="kind", tag="all"):
    """The ledgers of a run of several kinds."""

    run: str
    parts: list[One]
    format: Literal[1] = 1


AnySaved = One | Several


class LedgerError(Exception):
    """The ledger file cannot be used."""


def parts(ledger: AnySaved) -> list[One]:
    """The ledgers that are compared one by one."""
    return ledger.parts if isinstance(ledger, Several) else [ledger]


def save(ledger: AnySaved, path: Path) -> None:
    """Write the ledger as JSON. LedgerError where the file cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(ledger), indent=2) + b"\n")
    except OSError as exc:
        raise LedgerError(f"cannot write {path}: {exc.strerror}") from exc


def read(path: Path) -> AnySaved:
    """Read a saved ledger. LedgerError names what is wrong with it."""
    try:
        data = path.read_bytes()
        ledger: AnySaved = msgspec.json.decode(data, type=AnySaved)
    except OSError as exc:
        raise LedgerError(f"cannot read {path}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise LedgerError(f"{path}: not a ledger, or one that another version has saved: {exc}") from exc
    return ledger
