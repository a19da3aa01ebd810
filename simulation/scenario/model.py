"""A scenario: which devices there are, what they do, and for how long. Plain data, saved as JSON.

Hypothesis draws a scenario (`simulation.scenario.strategies`), and its draws change between versions of Hypothesis; a
saved scenario does not, and replaying one needs no Hypothesis. `simulation.traffic` turns it into what is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from simulation.scenario.causes import Name, Permille, Plant

Positive = Annotated[int, Meta(ge=1)]
Percent = Annotated[int, Meta(ge=0, le=100)]
FORMAT: Literal[2] = 2


class ScenarioError(Exception):
    """The scenario file cannot be used."""


class Title(Struct, frozen=True):
    """Something to play: a content of a customer, and how often it is picked beside its neighbours in the list."""

    customer: Name
    content: Name
    weight: Positive


class Activities(Struct, frozen=True):
    """CPU by what the app is doing, in percent of a core; a sample is up to 1.2 times as high."""

    login: Percent
    indexing: Percent
    idle: Percent
    incoming_file: Percent
    outgoing_file: Percent


class Machine(Struct, frozen=True, kw_only=True):
    """What a kind of device is, and what its app does when it is used as a desktop client.

    `weight`: its share of the arriving sessions, beside the others. Sessions of the app are log-normal with the median
    `app_median_s`; it samples its CPU every `sample_s`.
    """

    name: Name
    weight: Positive
    version: Name
    os: Name
    cores: Annotated[int, Meta(ge=1, le=1024)]
    cpu: Activities
    app_median_s: Positive
    sample_s: Positive


class Profile(Machine, frozen=True, kw_only=True):
    """A kind of device.

    What it plays: sessions are log-normal with the median `session_median_s` and `session_sigma` (the standard
    deviation of the logarithm), and report every `interval_s`. `p2p_permille`: the part of the bytes that comes from
    peers. `pause_permille`: how often a payload reports no bytes at all.

    How well it does it: `offline_permille` is the part of its life without a network. `twice_permille` of what it sends
    is sent again; `late_permille` comes late. `skew_s`: its clock minus the true one.
    """

    transport: Literal["single", "stream"]
    titles: Annotated[tuple[Title, ...], Meta(min_length=1)]
    session_median_s: Positive
    session_sigma: Annotated[float, Meta(ge=0, le=2)]
    interval_s: Positive
    bitrate_kbps: Positive
    p2p_permille: Permille
    pause_permille: Permille
    offline_permille: Annotated[int, Meta(ge=0, le=900)]
    twice_permille: Permille
    late_permille: Permille
    skew_s: Annotated[int, Meta(ge=-86_400, le=86_400)]


class Audience(Struct, frozen=True):
    """Who clicks and sees impressions.

    `users`: how many there are; the first in the list come most often. `historic_permille`: the part of the hits that
    is told late, up to `hours_back` hours. `stream_permille`: the part that comes as JSON lines.
    """

    users: Positive
    click_permille: Permille
    historic_permille: Permille
    hours_back: Positive
    stream_permille: Permille
    twice_permille: Permille


class Day(Struct, frozen=True):
    """How arrivals go up and down with the time of day, UTC: most at `peak_hour`, least twelve hours later.
    `swing_permille`: by how much they are above and below the mean.
    """

    peak_hour: Annotated[int, Meta(ge=0, le=23)]
    swing_permille: Annotated[int, Meta(ge=0, le=950)]


class Scenario(Struct, frozen=True):
    """Device profiles; how many viewers and desktop clients there are at any moment, on average over a day; an
    audience; and what is planted in the clients.
    """

    viewers: Positive
    clients: Positive
    profiles: Annotated[tuple[Profile, ...], Meta(min_length=1)]
    audience: Audience
    day: Day
    plant: Plant
    format: Literal[2] = FORMAT

    @property
    def customers(self) -> tuple[str, ...]:
        """Names of all customers, sorted."""
        return tuple(sorted({title.customer for profile in self.profiles for title in profile.titles}))


class _Format(Struct):
    format: Any = 1


_decoder, _formats = msgspec.json.Decoder(Scenario), msgspec.json.Decoder(_Format)


def encode(scenario: Scenario) -> bytes:
    """The scenario as indented JSON, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(scenario), indent=2) + b"\n"


def decode(data: bytes) -> Scenario:
    """The scenario of `encode`. ScenarioError names the field that is wrong, or a format that is not ours."""
    try:
        if (found := _formats.decode(data).format) != FORMAT:
            raise ScenarioError(
                f"not a scenario of format {FORMAT}, but of {found!r}: another version of the program has saved it;"
                " draw it again with --seed and --save"
            )
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ScenarioError(f"not a scenario: {exc}") from exc


def save(scenario: Scenario, path: Path) -> None:
    """Write the scenario as JSON. ScenarioError where the file cannot be written."""
    try:
        path.write_bytes(encode(scenario))
    except OSError as exc:
        raise ScenarioError(f"cannot write {path}: {exc.strerror}") from exc


def read(path: Path) -> Scenario:
    """Read a saved scenario. ScenarioError where there is none."""
    try:
        return decode(path.read_bytes())
    except OSError as exc:
        raise ScenarioError(f"cannot read {path}: {exc.strerror}") from exc
    except ScenarioError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc
