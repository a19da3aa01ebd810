"""What is planted in desktop clients: it is there, in the share that was drawn, and can be told from what only goes
along with it.
"""

from functools import lru_cache

import msgspec
import pytest

from simulation.scenario.causes import Cause, Condition, Decoy, Plant, Trait
from simulation.scenario.strategies import draw
from simulation.traffic.planted import Table, of_scenario
from simulation.traffic.planted import planted as planted_tables

HOT = 30
planted = lru_cache(planted_tables)
SEEDS = range(100)


def hot(table: Table) -> set[int]:
    return {span.session for span in table.spans if span.cpu_max > HOT}


def meeting(table: Table, *conditions: Condition) -> set[int]:
    """Sessions in which all conditions hold at once, at times."""
    return {span.session for span in table.spans if all(each.holds(span.properties) for each in conditions)}


def test_a_seed_gives_the_same_table() -> None:
    assert planted_tables(3, 50) == planted_tables(3, 50) != planted_tables(4, 50)


def test_causes_of_all_shapes_are_planted_with_a_support_of_5_to_60_percent() -> None:
    tables = [planted(seed, 600) for seed in SEEDS]
    assert {len(table.cause.conditions) for table in tables} == {1, 2, 3}
    for table in tables:
        assert 0.05 <= table.support <= 0.6, (table.cause, table.support)
        assert table.plant.decoys
    named = {condition.dimension for table in tables for condition in table.cause.conditions}
    assert named == {"version", "os", "storage", "antivirus", "event", "filename_length"}


@pytest.mark.parametrize("seed", range(20))
def test_what_meets_the_cause_is_hot_and_little_else(seed: int) -> None:
    table = planted(seed)
    found, met = hot(table), meeting(table, *table.cause.conditions)
    assert len(found & met) / len(met) >= 0.6
    assert len(found - met) / (table.sessions - len(met)) <= 0.06
    cool = [span for span in table.spans if span.session not in met]
    assert sum(span.cpu_max > HOT for span in cool) / len(cool) < 0.01


@pytest.mark.parametrize("seed", range(20))
def test_every_condition_of_the_cause_is_needed(seed: int) -> None:
    """Without one of them a smaller part is hot: the conditions are the shortest true answer."""
    table = planted(seed)
    conditions = table.cause.conditions

    def burning(*given: Condition) -> float:
        spans = [span for span in table.spans if all(each.holds(span.properties) for each in given)]
        return sum(span.cpu_max > HOT for span in spans) / len(spans)

    for left_out in conditions:
        rest = [condition for condition in conditions if condition is not left_out]
        assert burning(*rest) < 0.8 * burning(*conditions), (table.cause, left_out)


@pytest.mark.parametrize("seed", range(20))
def test_decoys_come_with_the_cause_and_change_nothing(seed: int) -> None:
    table = planted(seed, 4000)
    cause = table.cause
    known = {"version", "os"} | {trait.name for trait in table.plant.traits if trait.of == "session"}
    early = [condition for condition in cause.conditions if condition.dimension in known]
    for decoy in table.plant.decoys:
        of_file = any(trait.name == decoy.trait and trait.of == "file" for trait in table.plant.traits)
        inside_if = list(cause.conditions) if of_file else early
        having = [span for span in table.spans if decoy.trait in span.properties]
        inside = [span for span in having if all(each.holds(span.properties) for each in inside_if)]
        outside = [span for span in having if not all(each.holds(span.properties) for each in inside_if)]

        def share(spans: list, decoy: Decoy = decoy) -> float:  # type: ignore[type-arg]
            having_it: int = sum(span.properties[decoy.trait] == decoy.value for span in spans)
            return having_it / len(spans)

        assert share(inside) > share(outside)
        met = [span for span in having if cause.holds(span.properties)]
        with_it = [span.cpu_max > HOT for span in met if span.properties[decoy.trait] == decoy.value]
        without = [span.cpu_max > HOT for span in met if span.properties[decoy.trait] != decoy.value]
        assert sum(with_it) / len(with_it) == pytest.approx(sum(without) / len(without), abs=0.2)


def test_names_of_thousands_of_values_are_there() -> None:
    spans = planted(1).spans
    for name, least in (("machine", 1000), ("file", 1000)):
        assert len({span.properties[name] for span in spans if name in span.properties}) >= least


def test_a_scenario_s_clients_have_its_cause() -> None:
    scenario = draw(1)
    table = of_scenario(scenario, 1)
    assert table.plant == scenario.plant
    assert 0.05 <= table.support <= 0.6


def test_the_cause_is_named_in_any_order_and_with_a_number_a_little_beside_it() -> None:
    table = next(found for found in map(planted, SEEDS) if {c.op for c in found.cause.conditions} == {"=", ">"})
    *rest, last = table.cause.conditions
    assert isinstance(last.value, int)
    assert table.named([last, *rest])
    assert table.named([*rest, msgspec.structs.replace(last, value=last.value + 1)])
    assert not table.named([*rest, msgspec.structs.replace(last, value=last.value + 30)])
    assert not table.named(rest)
    assert not table.named([*rest, last, Condition("cores", ">", 2)])
    assert not table.named([*rest, msgspec.structs.replace(last, dimension="size")])


def test_conditions_hold_for_what_is_there() -> None:
    assert Condition("version", "=", "700").holds({"version": "700"})
    assert not Condition("version", "=", "700").holds({})
    longer = Condition("filename_length", ">", 42)
    assert longer.holds({"filename_length": 43})
    assert not longer.holds({"filename_length": 42})
    assert not longer.holds({"filename_length": "long"})


def test_a_plant_that_makes_no_sense_is_refused() -> None:
    cause = Cause((Condition("version", "=", "700"),), 900, 50)
    with pytest.raises(ValueError, match="as many weights"):
        Plant(cause, (Trait("session", "edition", ("a", "b"), (1,)),), ())
    with pytest.raises(ValueError, match="no trait edition"):
        Plant(cause, (), (Decoy("edition", "a", 500, 100),))
