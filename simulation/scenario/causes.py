"""What is planted in the desktop clients: a cause that makes them run hot, beside decoys that merely go along with it.

A cause is up to three conditions that hold together: `version = 700` and `event = login`, or `filename_length > 57`.
While they hold, a client that has the defect burns so much more CPU. Decoys are properties that come more often where
the cause's conditions hold, and change nothing. Plain data and its meaning, pure; `simulation.traffic.life` lives by
it, and `simulation.traffic.planted` makes tables of it for whoever has to find the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Permille = Annotated[int, Meta(ge=0, le=1000)]
Scalar = str | int
Properties = Mapping[str, Scalar]

SESSION: Literal["session"] = "session"
FILE: Literal["file"] = "file"  # what a trait describes
OF_MACHINE = frozenset(
    {"version", "os"}
)  # a profile has one of each; everything else is drawn for each session or file
HOT_PERCENT = 30  # a report's default threshold: what is planted passes it, all else stays below, but for a few spikes


class Condition(Struct, frozen=True):
    """`dimension` is `version`, `event` or a key of `properties`; `>` is for numbers."""

    dimension: Name
    op: Literal["=", ">"]
    value: Scalar

    def holds(self, properties: Properties) -> bool:
        """Whether it does for what is in force. A property that is not there never does."""
        found = properties.get(self.dimension)
        if self.op == "=":
            return found == self.value
        return isinstance(found, int) and isinstance(self.value, int) and found > self.value

    def __str__(self) -> str:
        return f"{self.dimension} {self.op} {self.value}"


class Cause(Struct, frozen=True):
    """Of the sessions in which the conditions hold at times, `odds_permille` have the defect: then they burn about
    `burn_percent` of a core more, for as long as the conditions hold.
    """

    conditions: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=3)]
    odds_permille: Permille
    burn_percent: Annotated[int, Meta(ge=HOT_PERCENT, le=100)]

    def holds(self, properties: Properties) -> bool:
        """Whether all conditions do."""
        return all(condition.holds(properties) for condition in self.conditions)

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


class Trait(Struct, frozen=True):
    """A property of a session or of a file, and how often it has which value."""

    of: Literal["session", "file"]
    name: Name
    values: Annotated[tuple[Name, ...], Meta(min_length=1)]
    weights: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]


class Decoy(Struct, frozen=True):
    """`trait` has `value` so often where what can be known of the cause's conditions holds, and so often elsewhere.

    Of a session everything but its events and files can be known, of a file everything.
    """

    trait: Name
    value: Name
    inside_permille: Permille
    outside_permille: Permille


class Plant(Struct, frozen=True):
    """The cause, and what there is beside it."""

    cause: Cause
    traits: tuple[Trait, ...]
    decoys: tuple[Decoy, ...]

    def __post_init__(self) -> None:
        known = {trait.name: trait for trait in self.traits}
        for trait in self.traits:
            if len(trait.values) != len(trait.weights):
                raise ValueError(f"the trait {trait.name} has not as many weights as values")
        for decoy in self.decoys:
            if decoy.trait not in known or decoy.value not in known[decoy.trait].values:
                raise ValueError(f"there is no trait {decoy.trait} with a value {decoy.value} for the decoy")
