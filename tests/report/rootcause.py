"""How good the drill-down is on labelled cases: `make rootcause DIR=…`.

The folder has `labels.json`, which says by file name the `timestamp` to explain and its `causes`, combinations of
attribute and value; and `cases/`, CSV files with a row a combination of attributes in a minute: in the first column the
minute, in `value` how many sessions were bad, in `cnt` how many there were; every other column is an attribute.

A combination is found if it has the same attributes with the same values as a cause, no more and no less. Precision and
recall are those of the first answer, a set of combinations, over the combinations of all cases together.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from collector.report.columns import columns_of
from collector.report.drilldown import drill_down
from collector.report.table import Table, table_of_counts

F1_TARGET, HIT_TARGET = 0.72, 0.93
FIRST = 3
"""Combinations among which a cause should be."""
BAD, COUNT = "value", "cnt"

Combination = frozenset[tuple[str, str]]
"""Attributes with their values."""


class Label(msgspec.Struct):
    """What is known of a file."""

    timestamp: int
    causes: list[dict[str, str]]


class Outcome(msgspec.Struct):
    """What was found in a case beside what is true."""

    case: str
    causes: set[Combination]
    ranked: list[Combination]
    """Best first."""
    answer: int
    """How many of them are the first answer together."""

    @property
    def first(self) -> set[Combination]:
        """The first answer."""
        return set(self.ranked[: self.answer])

    @property
    def hit(self) -> bool:
        """Whether a cause is among the first few."""
        return bool(self.causes & set(self.ranked[:FIRST]))


class Score(msgspec.Struct):
    """Over all cases."""

    cases: int
    precision: float
    recall: float
    f1: float
    hit: float
    """The share of cases with a cause among the first few."""


class BadFolder(Exception):
    """Not a folder of labelled cases."""


def table_of(path: Path, timestamp: int) -> Table:
    """A minute of a file. Attributes are names, whatever they look like."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            minute, *others = reader.fieldnames or [""]
            rows = [row for row in reader if float(row[minute]) == timestamp]
        counts = np.array([float(row[COUNT]) for row in rows], np.float64)
        bad = np.array([float(row[BAD]) for row in rows], np.float64)
    except (OSError, KeyError, ValueError, TypeError) as exc:
        raise BadFolder(f"{path}: not a case: {exc!r}") from exc
    attributes = [name for name in others if name not in (BAD, COUNT)]
    columns = columns_of([{name: row[name] for name in attributes} for row in rows])
    sessions = np.rint(counts).astype(np.int64)
    return table_of_counts(columns, sessions, np.minimum(sessions, np.rint(bad).astype(np.int64)))


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Of each case. Raises BadFolder."""
    try:
        labels = msgspec.json.decode((folder / "labels.json").read_bytes(), type=dict[str, Label])
    except (OSError, msgspec.MsgspecError) as exc:
        raise BadFolder(f"{folder / 'labels.json'}: {exc}") from exc
    if not labels:
        raise BadFolder(f"{folder / 'labels.json'}: no case")
    for case, label in labels.items():
        found = drill_down(table_of(folder / "cases" / case, label.timestamp))
        ranked = [frozenset((each.dimension, str(each.value)) for each in path) for path in found.combinations]
        yield Outcome(case, {frozenset(cause.items()) for cause in label.causes}, ranked, found.answer)


def score(found: list[Outcome]) -> Score:
    """Of these, at least one."""
    right = sum(len(each.first & each.causes) for each in found)
    answered = sum(len(each.first) for each in found)
    true = sum(len(each.causes) for each in found)
    precision, recall = right / max(1, answered), right / max(1, true)
    f1 = 2 * right / max(1, answered + true)
    return Score(len(found), precision, recall, f1, sum(each.hit for each in found) / len(found))


def text_of(combinations: list[Combination] | set[Combination]) -> str:
    """Combinations as one line."""
    texts = [" & ".join(f"{name}={value}" for name, value in sorted(each)) for each in combinations]
    return ", ".join(texts) or "nothing"


def report(found: list[Outcome]) -> Iterator[str]:
    """Lines: the cases whose first answer is not the truth, then the figures."""
    for each in found:
        if each.first != each.causes:
            listed = "among the first three" if each.hit else "missed"
            answer = text_of(each.ranked[: each.answer])
            yield f"{each.case}: {text_of(each.causes)}; answered {answer}; {listed}"
    total = score(found)
    yield f"{total.cases} cases"
    yield (
        f"exact-match F1 of the first answer  {total.f1:.3f}  (target {F1_TARGET}; "
        f"precision {total.precision:.3f}, recall {total.recall:.3f})"
    )
    yield f"a cause among the first three       {total.hit:.1%}  (target {HIT_TARGET:.0%})"


def main(arguments: list[str]) -> int:
    """Print the figures of a folder; 1 where a target is missed, 2 where there are none."""
    if len(arguments) != 1:
        print("usage: make rootcause DIR=FOLDER, with labels.json and cases/*.csv in it", file=sys.stderr)
        return 2
    try:
        found = list(outcomes(Path(arguments[0])))
    except BadFolder as exc:
        print(exc, file=sys.stderr)
        return 2
    print("\n".join(report(found)))
    total = score(found)
    return 0 if total.f1 >= F1_TARGET and total.hit >= HIT_TARGET else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
