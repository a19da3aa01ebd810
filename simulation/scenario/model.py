"""A scenario: which devices there are, what they do, and for how long. Plain data, saved as JSON.

Hypothesis draws a scenario (`simulation.scenario.strategies`), and its draws change between versions of Hypothesis; a
saved scenario does not, and replaying one needs no Hypothesis. `simulation.traffic` turns it into what is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Positive = Annotated[int, Meta(ge=1)]
Permille = Annotated[int, Meta(ge=0, le=1000)]


class ScenarioError(Exception):
    """The scenario file cannot be used."""


class Title(Struct, frozen=True):
    """Something to play: a content of a customer, and how often it is picked beside its neighbours in the list."""

    customer: Name
    content: Name
    weight: Positive


class Profile(Struct, frozen=True):
    """A kind of device.

    `weight`: its share of the arriving sessions, beside the other profiles. Session lengths are log-normal with the
    median `session_median_s` and `session_sigma` (the standard deviation of the logarithm). `p2p_permille`: the part of
    the bytes that comes from peers. `pause_permille`: how often a payload reports no bytes at all.
    """

    name: Name
    weight: Positive
    transport: Literal["single", "stream"]
    titles: Annotated[tuple[Title, ...], Meta(min_length=1)]
    session_median_s: Positive
    session_sigma: Annotated[float, Meta(ge=0, le=2)]
    bitrate_kbps: Positive
    p2p_permille: Permille
    pause_permille: Permille
    interval_s: Positive = 30


class Client(Struct, frozen=True):
    """A kind of desktop client.

    `weight`: its share of the clients. `skew_s`: its clock minus the true one. `offline_permille`: the part of its life
    without a network; then it only writes its log. CPU figures are in percent of one machine of so many `cores`, and
    so go up to 100 times as much.
    """

    name: Name
    weight: Positive
    version: Name
    cores: Annotated[int, Meta(ge=1, le=1024)]
    skew_s: Annotated[int, Meta(ge=-86_400, le=86_400)]
    offline_permille: Permille


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


class Scenario(Struct, frozen=True):
    """Device profiles and how many viewers there are at any moment, on average; desktop clients; an audience."""

    viewers: Positive
    profiles: Annotated[tuple[Profile, ...], Meta(min_length=1)]
    machines: Positive = 20
    clients: Annotated[tuple[Client, ...], Meta(min_length=1)] = (Client("desktop", 1, "700", 8, 90, 100),)
    audience: Audience = Audience(500, 200, 100, 48, 500)
    format: Literal[1] = 1

    @property
    def customers(self) -> tuple[str, ...]:
        """Names of all customers, sorted."""
        return tuple(sorted({title.customer for profile in self.profiles for title in profile.titles}))


_decoder = msgspec.json.Decoder(Scenario)


def encode(scenario: Scenario) -> bytes:
    """The scenario as indented JSON, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(scenario), indent=2) + b"\n"


def decode(data: bytes) -> Scenario:
    """The scenario of `encode`. ScenarioError names the field that is wrong."""
    try:
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
