"""docs/kubernetes.yaml: what it promises fits the collector; and it is valid, where a validator is installed."""

import importlib
import re
from typing import Any

import pytest
import yaml

from collector.cli import cli
from collector.serve import KILL_AFTER_S
from collector.settings import load
from tests.compose.document import stages
from tests.documents import ROOT
from tests.harness.server import ServerProcess

MANIFEST = ROOT / "docs" / "kubernetes.yaml"


@pytest.fixture(scope="module")
def kinds() -> dict[str, dict[str, Any]]:
    """The objects by their kind, of which there is one each."""
    found = {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}
    assert set(found) == {"Job", "Deployment", "PodDisruptionBudget", "Service"}
    return found


def pod(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(document)["containers"]
    assert isinstance(found, dict)
    return found


def test_it_is_valid() -> None:
    try:
        validator = importlib.import_module("kubernetes_validate")
    except ModuleNotFoundError:
        pytest.skip("no validator: pip install kubernetes-validate (100 MB of schemas)")
    for document in yaml.safe_load_all(MANIFEST.read_text()):
        validator.validate(document, "1.34", strict=True)


def test_selectors_find_the_pods(kinds: dict[str, dict[str, Any]]) -> None:
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["Job"]["spec"]["template"]["metadata"]["labels"] != labels
    ports = {port["name"]: port["containerPort"] for port in container(kinds["Deployment"])["ports"]}
    assert kinds["Service"]["spec"]["ports"][0]["targetPort"] in ports
    assert ports == {"http": 8080}


def test_there_is_time_to_drain(kinds: dict[str, dict[str, Any]]) -> None:
    deployed = container(kinds["Deployment"])
    settings = load({each["name"]: each["value"] for each in deployed["env"] if "value" in each})
    needed_s = settings.drain_s + KILL_AFTER_S + deployed["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(kinds["Deployment"])["terminationGracePeriodSeconds"] >= needed_s + 10


def test_a_disruption_leaves_enough(kinds: dict[str, dict[str, Any]]) -> None:
    replicas = kinds["Deployment"]["spec"]["replicas"]
    assert 0 < kinds["PodDisruptionBudget"]["spec"]["minAvailable"] < replicas
    assert kinds["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_pods_may_do_little(kinds: dict[str, dict[str, Any]], kind: str) -> None:
    limits = container(kinds[kind])["securityContext"]
    assert limits["readOnlyRootFilesystem"]
    assert not limits["allowPrivilegeEscalation"]
    assert limits["capabilities"]["drop"] == ["ALL"]
    assert pod(kinds[kind])["securityContext"]["runAsNonRoot"]
    assert not pod(kinds[kind])["automountServiceAccountToken"]
    # By a number, or Kubernetes could not tell.
    user = [rest for instruction, rest in stages()["collector"] if instruction == "USER"][-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_commands_are_those_there_are(kinds: dict[str, dict[str, Any]], kind: str) -> None:
    command, *options = container(kinds[kind])["args"]
    known = {option for parameter in cli.commands[command].params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known


def test_probes_are_answered(kinds: dict[str, dict[str, Any]], server: ServerProcess) -> None:
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        asked = container(kinds["Deployment"])[probe]["httpGet"]
        assert server.client.get(asked["path"]).status == 200
    # A collector that only waits for its database is not to be killed.
    assert "live" in container(kinds["Deployment"])["livenessProbe"]["httpGet"]["path"]


def test_secrets_are_named_not_written(kinds: dict[str, dict[str, Any]]) -> None:
    for kind in ("Job", "Deployment"):
        for each in container(kinds[kind])["env"]:
            assert ("value" in each) != ("valueFrom" in each)
            assert "value" not in each or not re.search(r"URL|PASSWORD|KEY", each["name"])
