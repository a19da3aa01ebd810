"""docs/kubernetes.yaml: what it promises fits the collector; and it is valid, where a validator is installed."""

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.cli import cli
from collector.errors import SettingError
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


def variables_of(service: str) -> dict[str, str]:
    """What the kubelet gives to each pod that begins after a Service of this name, unless told not to."""
    prefix = re.sub(r"\W", "_", service.upper())
    there = "tcp://10.0.0.1:80"
    return {
        **{f"{prefix}_SERVICE_HOST": "10.0.0.1", f"{prefix}_SERVICE_PORT": "80", f"{prefix}_PORT": there},
        **{f"{prefix}_PORT_80_TCP": there, f"{prefix}_PORT_80_TCP_PORT": "80", f"{prefix}_PORT_80_TCP_PROTO": "tcp"},
    }


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_the_service_makes_no_setting(kinds: dict[str, dict[str, Any]], kind: str) -> None:
    given = variables_of(kinds["Service"]["metadata"]["name"])
    if not pod(kinds[kind]).get("enableServiceLinks", True):
        given = {}
    said = {each["name"]: each["value"] for each in container(kinds[kind])["env"] if "value" in each}
    assert load({**given, **said}).port == 8080


def test_the_port_is_said(kinds: dict[str, dict[str, Any]]) -> None:
    """So that a Service's variables do no harm, even if they come by another way."""
    deployed = container(kinds["Deployment"])
    said = {each["name"]: each["value"] for each in deployed["env"] if "value" in each}
    assert load({**variables_of(kinds["Service"]["metadata"]["name"]), **said}).port == 8080
    with pytest.raises(SettingError, match="COLLECTOR_PORT"):
        load(variables_of("collector"))


def test_each_release_has_a_job_of_its_own(kinds: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """By the command at its top: Kubernetes refuses another image for the Job that is there."""
    (command,) = re.findall(r"^#   (sed .+) \|", MANIFEST.read_text(), re.MULTILINE)
    shutil.copy(MANIFEST, tmp_path)
    changed = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    after = {document["kind"]: document for document in yaml.safe_load_all(changed)}
    for found in (kinds, after):
        images = {container(found[kind])["image"] for kind in ("Job", "Deployment")}
        (tag,) = {image.partition(":")[2] for image in images}
        assert found["Job"]["metadata"]["name"] == f"collector-migrate-{tag}"
    assert after["Job"]["metadata"]["name"] != kinds["Job"]["metadata"]["name"]
    assert after["Deployment"]["metadata"] == kinds["Deployment"]["metadata"]


def test_secrets_are_named_not_written(kinds: dict[str, dict[str, Any]]) -> None:
    for kind in ("Job", "Deployment"):
        for each in container(kinds[kind])["env"]:
            assert ("value" in each) != ("valueFrom" in each)
            assert "value" not in each or not re.search(r"URL|PASSWORD|KEY", each["name"])
