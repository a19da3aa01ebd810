"""compose.yaml as Docker Compose would understand it: variables put in, and the parts that are looked at as Structs."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from tests.documents import ROOT

COMPOSE = ROOT / "compose.yaml"
DOCKERFILE = ROOT / "Dockerfile"
EXAMPLE = ROOT / ".env.example"

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?[-?])([^}]*))?\}|(\w+))")


class MissingVariable(Exception):
    """Docker Compose would not begin."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What we do not know we do not use."""


class Condition(Part, frozen=True):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Health(Part, frozen=True):
    test: list[str] = []
    interval: str | None = None
    timeout: str | None = None
    retries: int | None = None
    start_period: str | None = None
    disable: bool = False


class Build(Part, frozen=True):
    context: str
    target: str


class Limits(Part, frozen=True):
    cpus: str
    memory: str


class Resources(Part, frozen=True):
    limits: Limits


class Deploy(Part, frozen=True):
    resources: Resources


class ConfigMount(Part, frozen=True):
    source: str
    target: str


class Service(Part, frozen=True):
    image: str
    deploy: Deploy
    build: Build | None = None
    restart: str | None = None
    read_only: bool = False
    init: bool = False
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    environment: dict[str, str] = {}
    command: list[str] = []
    ports: list[str] = []
    volumes: list[str] = []
    configs: list[ConfigMount] = []
    shm_size: str | None = None
    depends_on: dict[str, Condition] = {}
    healthcheck: Health | None = None
    stop_grace_period: str | None = None
    profiles: list[str] = []


class Project(msgspec.Struct, frozen=True):
    """The whole file; what begins with `x-` is only there to be referred to."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, None]
    configs: dict[str, dict[str, str]]


def load(variables: Mapping[str, str]) -> Project:
    """The project with these variables. Raises MissingVariable, and msgspec's errors for what has no place in it."""
    document = yaml.safe_load(COMPOSE.read_text())
    return msgspec.convert(_interpolated(document, variables), Project)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`."""

    def replace(found: re.Match[str]) -> str:
        dollar, name, operator, rest, bare = found.groups()
        if dollar:
            return "$"
        value = variables.get(name or bare, "")
        if value or operator is None:
            return value
        if "?" in operator:
            raise MissingVariable(f"{name}: {rest}")
        return str(rest)

    return _VARIABLE.sub(replace, text)


def names_in_example() -> dict[str, str]:
    """What .env.example lists, with its values."""
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def seconds(duration: str) -> float:
    """Of a duration such as 1m30s."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h)", duration))


def server_settings(database: Service) -> dict[str, str]:
    """What the command tells PostgreSQL, `-c name=value` each."""
    pairs = itertools.pairwise(database.command)
    return dict(value.split("=", 1) for option, value in pairs if option == "-c")


def stages(dockerfile: Path = DOCKERFILE) -> dict[str, list[tuple[str, str]]]:
    """Instructions of each named stage, those of the stages it is built from first."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    text = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    for instruction, rest in re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE):
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [*found.get(base, []), (instruction, base)]
        else:
            found[name].append((instruction, rest))
    return found


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return interpolated(value, variables)
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    if isinstance(value, dict):
        return {name: _interpolated(each, variables) for name, each in value.items()}
    return value
