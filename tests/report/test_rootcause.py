"""Labelled cases: made-up ones, and a folder of real ones where COLLECTOR_ROOTCAUSE names it."""

import os
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.report.rootcause import F1_TARGET, HIT_TARGET, Outcome, main, outcomes, report, score

REAL = os.environ.get("COLLECTOR_ROOTCAUSE")


def write_case(folder: Path, name: str, minute: int, causes: list[dict[str, str]], random: Random) -> None:
    """Two minutes; in the one before it nothing is wrong."""
    rows = ["min,cdn,bitrate,value,cnt,isp"]
    for at in (minute - 60, minute):
        for cdn in "357":
            for bitrate in ("500", "2000", "8000"):
                for isp in ("a", "b"):
                    own = {"cdn": cdn, "bitrate": bitrate, "isp": isp}
                    bad = at == minute and any(cause.items() <= own.items() for cause in causes)
                    count = random.randint(50, 500)
                    rows.append(f"{at},{cdn},{bitrate},{round(count * (0.4 if bad else 0.01))},{count},{isp}")
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "cases" / name).write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """One cause, one of two attributes, two values of one attribute."""
    causes = {
        "one.csv": [{"bitrate": "2000"}],
        "pair 1.csv": [{"cdn": "7", "bitrate": "500"}],
        "two.csv": [{"cdn": "3"}, {"cdn": "5"}],
    }
    random = Random("made up")
    for name, wanted in causes.items():
        write_case(tmp_path, name, 1_600_000_020, wanted, random)
    labels = {name: {"timestamp": 1_600_000_020, "causes": wanted} for name, wanted in causes.items()}
    (tmp_path / "labels.json").write_bytes(msgspec.json.encode(labels))
    return tmp_path


def test_a_made_up_folder(made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = list(outcomes(made_up))
    assert [each.first for each in found] == [each.causes for each in found]
    assert main([str(made_up)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "3 cases"
    assert "F1 of the first answer  1.000" in printed[1]
    assert "100.0%" in printed[2]


def test_scores() -> None:
    """Two causes of which one is found, with one that is none; one that is second; one that is missed."""
    a, b, c = (frozenset({("os", name)}) for name in "abc")
    found = [Outcome("1", {a, b}, [a, c, b], 2), Outcome("2", {a}, [b, a], 1), Outcome("3", {a}, [b, c], 1)]
    total = score(found)
    assert (total.cases, total.precision, total.recall) == (3, 1 / 4, 1 / 4)
    assert (total.f1, total.hit) == (1 / 4, 2 / 3)
    assert list(report(found))[1] == "2: os=a; answered os=b; among the first three"


def test_what_is_not_such_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2
    (tmp_path / "labels.json").write_text('{"a.csv": {"timestamp": 60, "causes": [{"os": "a"}]}}')
    assert main([str(tmp_path)]) == 2
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a.csv").write_text("min,os,value\n60,a,1\n")
    assert main([str(tmp_path)]) == 2
    assert "not a case" in capsys.readouterr().err


@pytest.mark.skipif(REAL is None, reason="COLLECTOR_ROOTCAUSE names no folder of labelled cases")
def test_real_cases() -> None:
    total = score(list(outcomes(Path(REAL or ""))))
    assert (total.f1 >= F1_TARGET, total.hit >= HIT_TARGET) == (True, True), total
