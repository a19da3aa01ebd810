"""The report as HTML: every node, every number, links that go on, and nothing of it outside itself."""

import re
from datetime import timedelta

import pytest

from collector.report import sentences
from collector.report.model import Condition, Node
from collector.report.text import as_text
from collector.web import report
from collector.web.icicle import cells, condition, icicle
from tests.harness.html import Page
from tests.web.examples import HOSTILE, SINCE, filtered, node, worst
from tests.web.examples import report as example


def flat(nodes: list[Node]) -> list[Node]:
    return [each for one in nodes for each in (one, *flat(one.children))]


def shown(**changes: object) -> Page:
    page = Page(report.render(example(**changes)))
    page.check_alone(report.look())
    return page


def test_every_node_is_there_with_its_links() -> None:
    page = shown()
    nodes = flat(example().tree)
    details = [each for each in page.of("details") if each.get("class") == "node"]
    assert len(details) == len(nodes)
    for each in nodes:
        assert each.sentence in page.text
        assert each.finding in page.text
        assert page.links().count(each.href) >= 2, "in the tree and in the icicle"
        assert {session.href for session in each.worst} <= set(page.links())
    assert page.text.index(example().sentence) < page.text.index(nodes[0].sentence), "the sentence first"
    (table,) = [text for text in page.contents["table"] if "share outside" in text]
    for each in nodes:
        assert condition(each) in table


def test_cells_are_as_wide_as_they_cover() -> None:
    tree = example().tree
    placed = {id(cell.node): cell for cell in cells(tree)}
    version = placed[id(tree[0])]
    assert (version.row, version.left, version.width) == (1, 0.0, 0.81)
    indexing = placed[id(tree[0].children[0])]
    assert (indexing.row, indexing.left) == (2, 0.0)
    assert indexing.width == pytest.approx(0.81 * 0.62)


def test_cells_that_share_sessions_still_fit() -> None:
    tree = [node("a", 1, covers=0.9), node("b", 2, covers=0.8), node("c", 3, covers=0.001)]
    found = list(cells(tree))
    assert sum(cell.width for cell in found) <= 1
    assert len(found) == 2, "what is too narrow is left to the tree"
    assert found[1].left == pytest.approx(found[0].width)


def test_a_file_has_everything_and_links_to_nothing() -> None:
    page = Page(report.render_file(example()))
    page.check_alone(report.plain_look())
    assert set(page.links()) == {"#main"}
    assert not page.of("form")
    assert not page.of("script")
    policy = [each["content"] or "" for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == [report.plain_look().inner_policy]
    assert "frame-ancestors" not in policy[0]
    for each in flat(example().tree):
        assert each.sentence in page.text


def test_whatever_clients_say_stays_text() -> None:
    hostile = node(HOSTILE, HOSTILE, sentence=HOSTILE, finding=HOSTILE, base_rate=HOSTILE, worst=[worst(HOSTILE)])
    for made in (report.render(example(tree=[hostile])), report.render_file(example(tree=[hostile]))):
        page = Page(made)
        assert "b" not in page.contents
        assert "onclick" not in {name for _, attributes in page.elements for name in attributes}
        assert HOSTILE in page.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sessions": 0, "hot": 0, "share": 0.0, "tree": [], "worst": []}, "No client has sent"),
        ({"hot": 0, "share": 0.0, "tree": [], "worst": []}, "No session was hot"),
        ({"tree": []}, "Nothing tells the hot sessions"),
    ],
)
def test_where_there_is_no_tree_it_says_why(changes: dict[str, object], said: str) -> None:
    page = shown(**changes)
    assert said in page.text
    assert "svg" in page.contents  # of the head
    assert not [each for each in page.of("svg") if each.get("class") == "icicle"]


@pytest.mark.parametrize(("low", "said"), [(1.956, "1.9"), (3.0, "3"), (34.26, "34.2"), (1234.9, "1,234")])
def test_a_bound_is_said_as_in_its_sentence_and_never_more(low: float, said: str) -> None:
    finding = sentences.finding(Condition("version", "=", "6.04"), "max", 30.0, low, 0.8)
    page = shown(tree=[node(risk_ratio=low * 1.2, risk_ratio_low=low, finding=finding)])
    assert f"at least {said} times" in finding
    assert f"≥ {said} ×" in page.text
    assert f", at least {said}" in page.contents["dd"][2]
    (table,) = [text for text in page.contents["table"] if "share outside" in text]
    assert said in table


def test_a_cell_says_what_its_second_share_is() -> None:
    assert "61\u202f% hot; outside 2.0\u202f%" in shown().contents["text"]


def test_an_outside_that_is_not_the_rest_is_explained() -> None:
    event, number = node("event", "indexing"), node("filename_length", 42, op=">")
    version = node("version", "6.04", sessions=20, outside_sessions=80)
    assert "each session with each of them" in shown(sessions=100, tree=[event]).text
    assert "may be on both sides" in shown(sessions=100, tree=[number]).text
    assert "both sides" not in shown(sessions=100, tree=[version]).text


def test_the_text_says_whose_worst_sessions_it_names() -> None:
    last = as_text(example()).splitlines()[-1]
    assert last == "Worst sessions of version 6.04, indexing: desktop-7 (97.5%)"
    assert "Worst of all sessions" in shown().contents["h2"]


@pytest.mark.parametrize(
    ("given", "in_part", "said"),
    [
        (Condition("version", "=", "6.04"), False, "80% of them ran version 6.04 (12% of the others did)"),
        (Condition("version", "=", "6.04"), True, "80% of those with version 6.04 (12% of the others)"),
        (Condition("size", ">", 42), True, "80% of those with size over 42 (12% of the others)"),
    ],
)
def test_a_line_is_about_those_above_it(given: Condition, in_part: bool, said: str) -> None:
    assert sentences.line(given, "max", 30.0, 0.8, 0.12, in_part=in_part) == said


def test_a_moment_has_its_day_where_there_are_several() -> None:
    assert "15:00:00" in shown(tree=[]).contents["time"]
    until = SINCE + timedelta(hours=12, minutes=5)
    assert "1\u202fJan, 15:00:00" in shown(tree=[], to=until).contents["time"]


def test_a_ratio_that_is_infinite_has_no_number() -> None:
    assert "None" not in shown(tree=[node(risk_ratio=None)]).text


def test_the_first_sentences_for_another_page() -> None:
    assert report.brief("away") is not None
    page = Page(str(icicle(example())))
    assert len(page.of("a")) == 1 + len(flat(example().tree))


def test_filters_stay_in_the_form_and_can_be_taken_away() -> None:
    page = Page(report.render(filtered()))
    hidden = [(each["name"], each["value"]) for each in page.of("input") if each["type"] == "hidden"]
    assert hidden == [("min_support", "0.1"), ("version", "6.04"), ("where", "filename_length>42")]
    (first,) = [each["href"] for each in page.of("a") if each.get("aria-label") == "Without version = 6.04"]
    (second,) = [each["href"] for each in page.of("a") if each.get("aria-label") == "Without filename_length > 42"]
    assert first == filtered().href.replace("&version=6.04", "")
    assert second == filtered().href.replace("&where=filename_length%3E42", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (node("version", "6.04"), "version = 6.04"),
        (node("event", "indexing"), "indexing"),
        (node("filename_length", 42, op="<="), "filename_length ≤ 42"),
        (node("battery", True), "battery = true"),
    ],
)
def test_conditions_in_words(given: Node, said: str) -> None:
    assert condition(given) == said


def test_no_markup_is_doubly_escaped() -> None:
    assert not re.search(r"&amp;(amp|lt|gt|#\d+);", report.render(example()))
