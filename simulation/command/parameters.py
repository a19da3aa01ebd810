"""Types of the command line's options. Each says, when it refuses a value, how one is written."""

from __future__ import annotations

import math
import re
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from simulation.load.meter import Threshold
    from simulation.traffic.pace import Stage

    FloatType: TypeAlias = click.ParamType[float]
    StrType: TypeAlias = click.ParamType[str]
    StagesType: TypeAlias = click.ParamType[tuple[Stage, ...]]
else:  # generic only since click 8.4
    FloatType = StrType = StagesType = click.ParamType

DEFAULT_URL = "http://127.0.0.1:8080"
MAX_RUN = 64  # characters of a run's name: it is part of every token and customer, which may have 256

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_IN_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Duration(FloatType):
    """Seconds, from `500ms`, `60s`, `5m`, `1h`, or a bare number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.fullmatch(str(value).strip())
        if match is None or (seconds := float(match[1]) * _IN_S[match[2]]) <= 0:
            self.fail(f"{value!r} is no duration: write 500ms, 60s, 5m or 1h", param, ctx)
        return seconds


class Moment(FloatType):
    """Epoch milliseconds, from an RFC 3339 time with an offset, or from how long ago it is: `-12h`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip()
        if (ago := re.fullmatch(r"-(\d+(?:\.\d+)?)([smhd])", text)) is not None:
            return (time() - float(ago[1]) * (86_400 if ago[2] == "d" else _IN_S[ago[2]])) * 1000
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
            self.fail(f"{value!r} is no moment: write 2026-01-01T18:00:00Z, or -12h", param, ctx)
        return moment.timestamp() * 1000


class StageList(StagesType):
    """Stages of a rate: `30s:100,2m:2000`."""

    name = "stages"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Stage, ...]:
        from simulation.traffic.pace import Stage

        stages = []
        for text in str(value).split(","):
            length, _, rate = text.strip().partition(":")
            match = _DURATION.fullmatch(length.strip())
            if match is None or not re.fullmatch(r"\d+(\.\d+)?", rate.strip()):
                self.fail(f"{text!r} is no stage: write 30s:100,2m:2000, a length and a rate each", param, ctx)
            stages.append(Stage(float(match[1]) * _IN_S[match[2]], float(rate)))
        return tuple(stages)


class Url(StrType):
    """The collector's address, without a slash at its end."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = urlsplit(str(value))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            self.fail(f"{value!r} is no address of a collector: write {DEFAULT_URL}", param, ctx)
        return str(value).rstrip("/")


class Positive(FloatType):
    """A finite number over 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self.fail(f"{value!r} is no number over 0", param, ctx)
        return number


def thresholds(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[Threshold, ...]:
    from simulation.load.meter import parse_threshold

    try:
        return tuple(parse_threshold(text) for text in texts)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def headers(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.strip().isprintable():
            raise click.BadParameter(f"{text!r}: write a header as 'Name: value'")
        parsed[name] = value.strip()
    return parsed


def run_name(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{MAX_RUN}}}", text):
        raise click.BadParameter(f"{text!r}: letters, digits, dot, dash and underscore, at most {MAX_RUN}")
    return text
