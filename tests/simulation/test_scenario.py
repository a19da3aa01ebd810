"""Scenarios: drawn from a seed, the same everywhere, and the same again from a file."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from simulation.scenario import model as scenarios
from simulation.scenario.model import Scenario, ScenarioError
from simulation.scenario.strategies import draw
from simulation.scenario.strategies import scenarios as drawn_scenarios

ROOT = Path(__file__).parents[2]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn_scenarios())
def test_a_scenario_survives_json(scenario: Scenario) -> None:
    assert scenarios.decode(scenarios.encode(scenario)) == scenario
    assert 20 <= len(scenario.profiles) <= 50
    assert len({profile.name for profile in scenario.profiles}) == len(scenario.profiles)
    assert {profile.transport for profile in scenario.profiles} == {"single", "stream"}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn_scenarios())
def test_what_is_planted_is_met_by_some_and_not_by_all(scenario: Scenario) -> None:
    early = [c for c in scenario.plant.cause.conditions if c.dimension in ("version", "os")]
    total = sum(profile.weight for profile in scenario.profiles)
    for condition in early:
        share = sum(p.weight for p in scenario.profiles if getattr(p, condition.dimension) == condition.value) / total
        assert 0.02 < share < 0.9
    names = [decoy.trait for decoy in scenario.plant.decoys]
    assert names
    assert not set(names) & {condition.dimension for condition in scenario.plant.cause.conditions}


def test_seeds_give_different_scenarios() -> None:
    assert len({scenarios.encode(draw(seed)) for seed in range(5)}) == 5


def test_a_seed_gives_the_same_scenario_whatever_else_is_loaded(tmp_path: Path) -> None:
    """Hypothesis mixes constants of loaded local modules into most of its draws."""
    program = tmp_path / "program.py"
    (tmp_path / "neighbour.py").write_text(f"NUMBERS = {list(range(2, 64))}\nTEXTS = ['acme', 'fjord', 'juno']\n")
    program.write_text(
        "import sys\nimport neighbour\nfrom simulation.scenario import model\n"
        "from simulation.scenario.strategies import draw\n"
        "sys.stdout.buffer.write(model.encode(draw(11)))\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout == scenarios.encode(draw(11))
    assert {path.name for path in tmp_path.iterdir()} <= {"program.py", "neighbour.py", "__pycache__"}, (
        "nothing left behind"
    )


def test_a_file_is_read_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    scenarios.save(draw(1), path)
    assert scenarios.read(path) == draw(1)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not a scenario"),
        (b"[]", "array"),
        (b'{"format": 2, "viewers": 1, "clients": 1, "profiles": []}', "profiles"),
        (b'{"format": 2, "viewers": 0}', "viewers"),
        (b'{"format": 2, "viewers": 1, "clients": 1, "profiles": [{}]}', "name"),
        (b'{"format": 3}', "of format 2, but of 3"),
        (b'{"viewers": 1, "profiles": []}', "of format 2, but of 1: another version"),
        (b"[" * 100_000, "not a scenario"),
        (b'{"viewers": "\xff"}', "not a scenario"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=r"bad\.json") as caught:
        scenarios.read(path)
    assert named in str(caught.value)


def test_a_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot read"):
        scenarios.read(tmp_path / "none.json")
    with pytest.raises(ScenarioError, match="cannot write"):
        scenarios.save(draw(1), tmp_path / "no folder" / "scenario.json")
