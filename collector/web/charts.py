"""Charts as inline SVG. Pure: numbers and times in, elements out.

A chart is as wide as its place, and its text stays as large as it is, without a script: what may be stretched is drawn
in a nested SVG of 1000 units that is fitted to any width, everything else stands at percentages. Colours are classes,
for the style knows whether it is dark. No attribute `style`: the pages' policy forbids it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import htpy as h
import msgspec

from collector.web.layout import flat
from collector.web.scales import Tick, ticks, time_ticks

WIDTH = 1000
"""Units across the part that is stretched."""
AXIS_WIDTH = 62
"""Pixels for the labels of the vertical axis."""
TOP, BOTTOM = 10, 24
"""Pixels above the plot, for half of the highest label, and below it, for times."""
TIMES = 10
"""Labels of times at most; on a narrow screen every other one is left out."""
FEW_TIMES = 5
"""The same of a chart that is half as wide."""
WITH_SECONDS = 0.6
"""As many labels as else where they have seconds, which are half as long again."""
GAP = 0.16
"""Of a bar's place, what stays free."""
OVER = "over-the-threshold"
"""What is drawn of a line in the colour of heat. One chart of a page has a threshold."""
EDGE = 0.03
"""Of the width: a label nearer to an edge than this is not centred on its tick, for it would be cut off."""

Format = Callable[[float], str]

_g, _path, _rect, _line, _text = (h.Element(name) for name in ("g", "path", "rect", "line", "text"))


class Bin(msgspec.Struct, frozen=True):
    """A span of time that a bar stands for, and what a reader who points at it is told."""

    since: datetime
    until: datetime
    told: str


class Series(msgspec.Struct, frozen=True):
    """A number for each bin or time, None where there is none; `colour` is a class of the style: `c1` to `c6`, `c0` for
    the rest, `hot`.
    """

    name: str
    colour: str
    values: Sequence[float | None]


class Band(msgspec.Struct, frozen=True):
    """Something that lasted."""

    since: datetime
    until: datetime
    told: str


class Lane(msgspec.Struct, frozen=True):
    """Bands of one name."""

    name: str
    colour: str
    bands: Sequence[Band]


class Frame(msgspec.Struct, frozen=True):
    """Where a chart is drawn: from when to when, up to which number, in how many pixels (of the plot alone)."""

    since: datetime
    until: datetime
    marks: Sequence[float]
    height: int = 160
    times: int = TIMES

    @property
    def maximum(self) -> float:
        """The number at the top."""
        return self.marks[-1]

    def x(self, time: datetime) -> float:
        """Share of the width, 0 to 1 for times within."""
        return (time - self.since) / (self.until - self.since)

    def y(self, value: float) -> float:
        """Pixels from the top of the plot; what is higher than the plot ends at its top."""
        return self.height * (1 - min(value / self.maximum, 1))


def bars(
    title: str,
    bins: Sequence[Bin],
    series: Sequence[Series],
    label: Format,
    frame: Frame | None = None,
    *,
    whole: bool = False,
    filling: bool = False,
    over: Series | None = None,
    height: int = 160,
) -> h.Element:
    """Bars of the series stacked upwards. `filling`: the last bin has not ended, and its bar is paler. `over`: what is
    drawn over the bars as a mark for each.
    """
    sums = [sum(values) for values in zip(*(_known(each) for each in series), strict=True)]
    if frame is None:
        frame = Frame(bins[0].since, bins[-1].until, ticks(max(sums, default=0), whole=whole), height)
    base = [0.0] * len(bins)
    shapes: list[h.Node] = []
    for each in series:
        values = _known(each)
        done: list[str] = []
        last: list[str] = []
        for place, (span, value) in enumerate(zip(bins, values, strict=True)):
            if value > 0:
                shape = _bar(frame, span, base[place], base[place] + value)
                (last if filling and place == len(bins) - 1 else done).append(shape)
                base[place] += value
        shapes.append(_path(class_=f"bar {each.colour}", d="".join(done)) if done else None)
        shapes.append(_path(class_=f"bar {each.colour} filling", d="".join(last)) if last else None)
    if over is not None:
        marks = (_mark(frame, span, value) for span, value in zip(bins, _known(over), strict=True))
        shapes.append(_path(class_=f"line {over.colour}", d="".join(marks)))
    return draw(title, frame, label, [stretched(frame, shapes)], _hits(frame, bins))


def line(
    title: str,
    times: Sequence[datetime],
    series: Sequence[Series],
    label: Format,
    frame: Frame,
    *,
    bins: Sequence[Bin] = (),
    area: bool = False,
    threshold: float | None = None,
    lanes: Sequence[Lane] = (),
) -> h.Element:
    """Lines through the series, broken where there is no number, over lanes of what lasted meanwhile. What is over the
    threshold has the colour of heat.
    """
    shapes: list[h.Node] = []
    for each in series:
        runs = list(_runs(frame, times, each.values))
        if area:
            shapes.append(_path(class_=f"area {each.colour}", d="".join(_closed(frame, run) for run in runs)))
        way = "".join("M" + "L".join(run) for run in runs)
        shapes.append(_path(class_=f"line {each.colour}", d=way))
        if threshold is not None:
            shapes.append(_path(class_="line hot", d=way, clip_path=f"url(#{OVER})"))
    if threshold is not None:
        y = _short(frame.y(threshold))
        above = _rect(x="0", y="-2", width=str(WIDTH), height=_short(frame.y(threshold) + 2))
        shapes += [h.Element("clipPath")(id=OVER)[above], _path(class_="threshold", d=f"M0 {y}H{WIDTH}")]
    return draw(title, frame, label, [stretched(frame, shapes)], _hits(frame, bins), lanes)


def sparkline(title: str, values: Sequence[float], colour: str = "c1") -> h.Element:
    """A small line without axes."""
    high, height = max(values, default=0) or 1, 32
    step = WIDTH / max(1, len(values) - 1)
    points = [
        f"{_short(place * step)} {_short(2 + (height - 4) * (1 - value / high))}" for place, value in enumerate(values)
    ]
    shape = [
        _path(class_=f"area {colour}", d=f"M0 {height}L{'L'.join(points)}L{WIDTH} {height}Z"),
        _path(class_=f"line {colour}", d="M" + "L".join(points)),
    ]
    return h.svg(
        ".spark", role="img", aria_label=title, viewBox=f"0 0 {WIDTH} {height}", preserveAspectRatio="none",
        height=str(height), width="100%",
    )[shape if len(values) > 1 else None]  # fmt: skip


LANE_TOP, LANE_HEIGHT, LANE_BAR = 8, 31, 12
"""Pixels: between the plot and the first lane, of a lane, of its bands."""


def draw(
    title: str,
    frame: Frame,
    label: Format,
    shapes: Iterable[h.Node],
    hits: Iterable[h.Node],
    lanes: Sequence[Lane] = (),
) -> h.Element:
    """Shapes in a frame with its axes. The axis of numbers has a place of its own at the left, so that the plot may be
    of any width.
    """
    bottom = TOP + frame.height + (LANE_TOP if lanes else 0)
    whole = bottom + LANE_HEIGHT * len(lanes) + BOTTOM
    grid = [
        _line(class_="grid" if mark else "grid base", x1="0", x2="100%", y1=y, y2=y)
        for mark in frame.marks
        for y in [_short(TOP + frame.y(mark))]
    ]
    return h.div(".chart")[
        h.svg(".y", width=str(AXIS_WIDTH), height=str(whole), aria_hidden="true")[
            [
                _text(x=str(AXIS_WIDTH - 8), y=_short(TOP + frame.y(mark)), dy="0.35em", text_anchor="end")[label(mark)]
                for mark in frame.marks
            ]
        ],
        h.svg(
            ".plot", role="img", aria_label=title, width="100%", height=str(whole),
            data_since=str(_ms(frame.since)), data_until=str(_ms(frame.until)),
        )[
            grid,
            flat(h.fragment[shapes]),
            [_lane(frame, lane, bottom + LANE_HEIGHT * place) for place, lane in enumerate(lanes)],
            _times(frame, whole - BOTTOM),
            flat(_g(".hits")[hits]),
        ],
    ]  # fmt: skip


def stretched(frame: Frame, shapes: Iterable[h.Node]) -> h.Element:
    """Shapes in units of WIDTH by pixels, as wide as their place."""
    return h.svg(
        x="0", y=str(TOP), width="100%", height=str(frame.height),
        viewBox=f"0 0 {WIDTH} {frame.height}", preserveAspectRatio="none",
    )[shapes]  # fmt: skip


def legend(entries: Iterable[tuple[str, str]]) -> h.Element:
    """Names with their colours."""
    return h.ul(".legend")[[h.li[h.span(class_=f"key {colour}"), h.bdi[name]] for name, colour in entries]]


def _times(frame: Frame, y: float) -> list[h.Element]:
    return [
        _g(class_=" ".join(["tick", *(["strong"] if tick.strong else []), *(["odd"] if place % 2 else [])]))[
            _line(x1=x, x2=x, y1=_short(y), y2=_short(y + 4)),
            _text(x=x, y=_short(y + 17), text_anchor=_anchor(frame.x(tick.time)))[tick.label],
        ]
        for place, tick in enumerate(_fitting(frame))
        for x in [_percent(frame.x(tick.time))]
    ]


def _fitting(frame: Frame) -> list[Tick]:
    """No more than there is room for. Days before hours: with every other label left out, on a narrow screen, the days
    stay.
    """
    found = time_ticks(frame.since, frame.until, frame.times)
    if any(tick.time.second for tick in found):
        found = time_ticks(frame.since, frame.until, int(frame.times * WITH_SECONDS))
    strong = next((place for place, tick in enumerate(found) if tick.strong), 0)
    return found[strong % 2 :]


def _anchor(share: float) -> str:
    if share < EDGE:
        return "start"
    return "end" if share > 1 - EDGE else "middle"


def _hits(frame: Frame, bins: Sequence[Bin]) -> Iterable[h.Element]:
    """What is pointed at: the whole height over a bin, with its numbers as a title."""
    for each in bins:
        left, right = max(0.0, frame.x(each.since)), min(1.0, frame.x(each.until))
        yield _rect(class_="hit", x=_percent(left), width=_percent(right - left), y=str(TOP), height=str(frame.height))[
            h.title[each.told]
        ]


def _lane(frame: Frame, lane: Lane, y: float) -> h.Element:
    bar_y = _short(y + LANE_HEIGHT - LANE_BAR)
    return _g(".lane")[
        _text(x="0", y=_short(y + 14))[lane.name],
        _line(class_="grid", x1="0", x2="100%", y1=_short(y + LANE_HEIGHT), y2=_short(y + LANE_HEIGHT)),
        [
            _rect(
                class_=f"band {lane.colour}",
                x=_percent(max(0.0, frame.x(band.since))),
                width=_percent(max(MIN_BAND, min(1.0, frame.x(band.until)) - max(0.0, frame.x(band.since)))),
                y=bar_y,
                height=str(LANE_BAR),
            )[h.title[band.told]]
            for band in lane.bands
        ],
    ]


MIN_BAND = 0.0015
"""Of the width: what lasted for a moment is seen all the same."""


def _bar(frame: Frame, span: Bin, low: float, high: float) -> str:
    left, right = frame.x(span.since) * WIDTH, frame.x(span.until) * WIDTH
    free = (right - left) * GAP / 2
    top, bottom = frame.y(high), frame.y(low)
    # However little it is, it is seen, and a line of paper parts it from what it stands on.
    height = max(0.75, bottom - top - (1 if low else 0))
    width = _short(right - left - 2 * free)
    return f"M{_short(left + free)} {_short(top)}h{width}v{_short(height)}h-{width}z"


def _mark(frame: Frame, span: Bin, value: float) -> str:
    left, right = frame.x(span.since) * WIDTH, frame.x(span.until) * WIDTH
    return f"M{_short(left)} {_short(frame.y(value))}H{_short(right)}"


def _runs(frame: Frame, times: Sequence[datetime], values: Sequence[float | None]) -> Iterable[list[str]]:
    """Points without a gap between them."""
    run: list[str] = []
    for time, value in zip(times, values, strict=True):
        if value is None:
            if run:
                yield run
            run = []
        else:
            run.append(f"{_short(frame.x(time) * WIDTH)} {_short(frame.y(value))}")
    if run:
        yield run


def _closed(frame: Frame, run: list[str]) -> str:
    first, last = run[0].split()[0], run[-1].split()[0]
    return f"M{first} {frame.height}L{'L'.join(run)}L{last} {frame.height}Z"


def _known(series: Series) -> list[float]:
    return [value or 0.0 for value in series.values]


def _short(value: float) -> str:
    """At most two decimals: a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{share * 100:.3f}%"


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
