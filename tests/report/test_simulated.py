"""The cause that the simulator plants in desktop clients is what the drill-down names first. Pure: no database."""

from typing import Any

from collector.report.drilldown import drill_down
from simulation.scenario import causes
from simulation.traffic import planted
from tests.report.tables import Sessions, Span, table_of
from tests.report.test_drilldown import FOUND, SEEDS, first_path


def sessions_of(table: planted.Table) -> Sessions:
    """A span of the simulator has all that was in force; what every span has is the session's own."""
    common = set.intersection(*(set(span.properties) for span in table.spans)) - {"event"}
    found = Sessions([{} for _ in range(table.sessions)], [])
    for span in table.spans:
        said: dict[str, Any] = dict(span.properties)
        event = str(said.pop("event"))
        found.said[span.session] = {name: said.pop(name) for name in common}
        found.spans.append(Span(span.session, event, said, span.samples))
    return found


def conditions(path: list[Any]) -> list[causes.Condition]:
    return [causes.Condition(each.dimension, each.op, each.value) for each in path]


def test_what_the_simulator_plants_comes_first() -> None:
    """In the answer, and as the first nodes of the tree."""
    answered, first = [], []
    for seed in SEEDS:
        table = planted.planted(seed, 600)
        found = drill_down(table_of(sessions_of(table)))
        if found.answer == 1 and table.named(conditions(list(found.combinations[0]))):
            answered.append(seed)
        if table.named(conditions(first_path(found.tree)[: len(table.cause.conditions)])):
            first.append(seed)
    least = FOUND * len(SEEDS)
    assert min(len(answered), len(first)) >= least, (set(SEEDS).difference(answered), set(SEEDS).difference(first))
