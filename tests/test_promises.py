"""PROMISES.md: twenty sentences, each with tests that are there. Whether they pass is told where they run."""

import ast
import re

from tests.documents import PROMISES, ROOT

COUNT = 20
_NUMBERED = re.compile(r"^(\d+)\. ", re.MULTILINE)
_TEST = re.compile(r"^ +- `([\w/]+\.py)::(\w+)`$", re.MULTILINE)


def promises() -> dict[int, str]:
    """Each with the tests below it."""
    _, *parts = _NUMBERED.split(PROMISES.read_text())
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


def test_all_of_them_are_there_with_their_tests() -> None:
    found = promises()
    assert list(found) == list(range(1, COUNT + 1))
    for number, text in found.items():
        assert _TEST.findall(text), f"nothing proves {number}"
        assert text.split("\n - ")[0].strip().endswith((".", ")", "`")), number
    named = re.findall(r"[\w/]+\.py", PROMISES.read_text())
    assert len(named) == sum(len(_TEST.findall(text)) for text in found.values()), "one is not written as the others"


def test_every_test_named_is_there_and_is_not_skipped_for_good() -> None:
    for text in promises().values():
        for path, name in _TEST.findall(text):
            module = ast.parse((ROOT / path).read_text())
            tests = [each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == name]
            assert len(tests) == 1, f"{path}::{name}"
            marks = " ".join(ast.unparse(mark) for mark in tests[0].decorator_list)
            assert "skip" not in marks, f"{path}::{name}"
            assert "xfail" not in marks, f"{path}::{name}"
