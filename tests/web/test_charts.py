"""Charts: what is drawn is where its numbers say, and nothing depends on a width or on a style that is written in."""

import re
from datetime import datetime, timedelta
from itertools import pairwise

import htpy as h
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.web import words
from collector.web.charts import FEW_TIMES, TIMES, WIDTH, Band, Bin, Frame, Lane, Series, bars, legend, line, sparkline
from collector.web.scales import ticks
from tests.harness.html import Page
from tests.web.examples import HOSTILE, SINCE

STEP = timedelta(minutes=5)
PHONE, WIDTH_OF_CHARACTER = 270, 6.5
"""Pixels: the plot on a phone, and a digit of a label."""


def bins(number: int) -> list[Bin]:
    return [Bin(SINCE + STEP * place, SINCE + STEP * (place + 1), f"bin {place}") for place in range(number)]


def paths(chart: h.Element, kind: str) -> list[str]:
    """The shapes of a class, in their order."""
    page = Page(str(chart))
    return [attributes["d"] or "" for attributes in page.of("path") if kind in (attributes.get("class") or "").split()]


def rectangles(path: str) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of each bar of a path."""
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-([\d.]+)z", path)
    assert path == "".join(f"M{x} {y}h{w}v{z}h-{w}z" for x, y, w, z, _ in found)
    return [(float(x), float(y), float(width), float(height)) for x, y, width, height, _ in found]


def test_bars_stand_on_each_other() -> None:
    chart = bars("x", bins(2), [Series("a", "c1", [10, 40]), Series("b", "c2", [10, 0])], words.count, height=100)
    (one,) = paths(chart, "c1")
    (two,) = paths(chart, "c2")
    first, second = rectangles(one)
    assert first[1:] == (75, 420, 25)
    assert second[1] == 0
    assert second[3] == 100
    (above,) = rectangles(two)
    assert above[0] == first[0]
    assert above[1] == 50
    assert above[1] + above[3] == first[1] - 1, "a line of paper between the two"


@given(st.lists(st.lists(st.integers(0, 10**15) | st.none(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_bars_are_as_high_as_their_numbers(values: list[list[int | None]]) -> None:
    height = 160
    series = [Series(str(place), f"p{place + 1}", numbers) for place, numbers in enumerate(values)]
    high = max(sum(value or 0 for value in column) for column in zip(*values, strict=True))
    top = ticks(high)[-1]
    chart = bars("x", bins(5), series, words.size, height=height)
    for place, numbers in enumerate(values):
        drawn = [rect for path in paths(chart, f"p{place + 1}") for rect in rectangles(path)]
        wanted = [value for value in numbers if value]
        assert len(drawn) == len(wanted), "what is there is drawn, and nothing else"
        for (left, y, width, tall), value in zip(drawn, wanted, strict=True):
            assert 0 <= left <= left + width <= WIDTH
            assert -0.01 <= y <= y + tall <= height + 0.76
            assert tall == pytest.approx(max(0.75, value / top * height), abs=1.02)


def test_a_bin_that_goes_on_is_pale() -> None:
    chart = bars("x", bins(3), [Series("a", "c1", [1, 2, 3])], words.count, filling=True)
    (pale,) = paths(chart, "filling")
    assert len(rectangles(pale)) == 1


def test_a_line_breaks_where_there_is_no_number() -> None:
    frame = Frame(SINCE, SINCE + 4 * STEP, [0, 10], 100)
    times = [SINCE + STEP * place for place in range(5)]
    (path,) = paths(line("x", times, [Series("a", "c1", [0, 10, None, 20, 5])], words.count, frame), "line")
    assert path == "M0 100L250 0M750 0L1000 50", "what is higher than the plot ends at its top"


def test_what_is_over_the_threshold_is_hot() -> None:
    frame = Frame(SINCE, SINCE + STEP, [0, 50, 100], 100)
    chart = line("x", [SINCE, SINCE + STEP], [Series("a", "c1", [10, 90])], words.count, frame, threshold=30)
    page = Page(str(chart))
    (clip,) = page.of("clippath")
    (hot,) = [path for path in page.of("path") if "hot" in (path.get("class") or "")]
    assert hot["clip-path"] == f"url(#{clip['id']})"
    assert paths(chart, "threshold") == ["M0 70H1000"]


def test_lanes_are_cut_at_the_edges() -> None:
    frame = Frame(SINCE, SINCE + 10 * STEP, [0, 1], 100)
    lane = Lane(
        "indexing", "p1", [Band(SINCE - STEP, SINCE + STEP, "one"), Band(SINCE + 9 * STEP, SINCE + 12 * STEP, "two")]
    )
    page = Page(str(line("x", [], [], words.count, frame, lanes=[lane])))
    bands = [rect for rect in page.of("rect") if rect.get("class") == "band p1"]
    assert [(band["x"], band["width"]) for band in bands] == [("0.000%", "10.000%"), ("90.000%", "10.000%")]
    assert "indexing" in page.text


@given(st.text(), st.integers(1, 150))
def test_any_text_stays_text_and_nothing_is_styled_in_place(text: str, number: int) -> None:
    told = [Bin(each.since, each.until, text) for each in bins(number)]
    chart = bars(text, told, [Series(text, "c1", [1] * number)], lambda value: text, filling=True)
    page = Page(str(h.div[chart, legend([(text, "c1")])]))
    assert not page.attributes("style")
    assert {tag for tag, _ in page.elements} <= {
        "div", "svg", "text", "line", "path", "g", "rect", "title", "ul", "li", "span", "bdi",
    }  # fmt: skip
    assert len(page.of("title")) == number
    assert page.of("svg")[1]["aria-label"] == text


def test_hostile_text() -> None:
    chart = str(bars(HOSTILE, bins(1), [Series(HOSTILE, "c1", [1])], lambda value: HOSTILE))
    assert "<b" not in chart
    assert "</script" not in chart


@given(st.lists(st.floats(0, 1e12), max_size=200))
def test_a_sparkline_stays_within_its_place(values: list[float]) -> None:
    for path in paths(sparkline("x", values), "line"):
        points = [tuple(map(float, point.split())) for point in path.removeprefix("M").split("L")]
        assert len(points) == len(values)
        assert all(0 <= x <= WIDTH and 0 <= y <= 32 for x, y in points)


def test_labels_near_an_edge_are_not_cut_off() -> None:
    frame = Frame(SINCE, SINCE + timedelta(hours=24), [0, 1], 100)
    page = Page(str(line("x", [], [], words.count, frame)))
    anchors = [text["text-anchor"] for text in page.of("text")][2:]
    assert anchors[0] == "start"
    assert anchors[-1] == "end"
    assert set(anchors[1:-1]) == {"middle"}


@pytest.mark.parametrize("times", [TIMES, FEW_TIMES])
@given(seconds=st.integers(1, 900), fraction=st.integers(0, 999))
def test_labels_have_room_on_a_phone(times: int, seconds: int, fraction: int) -> None:
    """Every other one is left out there, and those that are left have half as much again as they are wide: the first
    one may begin, and the last one end, where another would have its middle.
    """
    since = SINCE + timedelta(milliseconds=fraction)
    frame = Frame(since, since + timedelta(seconds=seconds), [0, 1], 100, times)
    page = Page(str(line("x", [], [], words.count, frame)))
    labels = page.contents["text"][2:]
    places = [float((text["x"] or "").rstrip("%")) / 100 * PHONE for text in page.of("text")[2:]][::2]
    width = WIDTH_OF_CHARACTER * max(map(len, labels), default=0)
    assert all(two - one >= 1.5 * width for one, two in pairwise(places))


def test_the_frame_is_the_range() -> None:
    page = Page(str(bars("x", bins(4), [Series("a", "c1", [1, 2, 3, 4])], words.count)))
    (plot,) = [svg for svg in page.of("svg") if svg.get("class") == "plot"]
    ends = [datetime.fromtimestamp(int(plot[name] or "") / 1000, SINCE.tzinfo) for name in ("data-since", "data-until")]
    assert ends == [SINCE, SINCE + 4 * STEP]
