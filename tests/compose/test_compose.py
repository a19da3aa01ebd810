"""compose.yaml, Dockerfile and what they mount: valid for a parser of the specification, whole, without a secret."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import compose_spec
import pytest
import yaml

from collector.serve import KILL_AFTER_S
from collector.service import CONNECTIONS_TO_DATABASE
from collector.settings import Settings, variable
from collector.settings import load as load_settings
from dashboards import variables as dashboard_variables
from dashboards.model import GRAFANA
from dashboards.written import FOLDER
from tests.compose.document import (
    COMPOSE,
    MissingVariable,
    Project,
    Service,
    load,
    names_in_example,
    seconds,
    server_settings,
    stages,
)
from tests.documents import ROOT
from tests.harness.broker import version_of_jars

SECRETS = {name: f"secret-of-{name.lower()}" for name in names_in_example()}
OURS = ("migrate", "collector", "consumer", "simulator")
"""Services that run this repository."""
LONG_RUNNING = ("database", "kafka", "collector", "consumer", "prometheus", "grafana")


@pytest.fixture(scope="module")
def project() -> Project:
    return load(SECRETS)


def test_it_is_valid_for_the_specification() -> None:
    options = compose_spec.PyOptions(apply_merge=True)
    compose_spec.PyOptions.from_yaml(options, COMPOSE.read_text()).validate()


def test_it_is_valid_for_docker_compose(tmp_path: Path) -> None:
    """With the program itself, where there is one; it needs no engine for this."""
    command = _docker_compose()
    if command is None:
        pytest.skip("docker compose was not found")
    environment = tmp_path / "env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    subprocess.run(
        [*command, "--env-file", environment, "-f", COMPOSE, "--profile", "*", "config", "--quiet"], check=True
    )


def _docker_compose() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


def test_every_secret_is_asked_for_by_name(project: Project) -> None:
    """None has a value in the repository, and without one Docker Compose says what to do."""
    assert not any(names_in_example().values())
    text = COMPOSE.read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(SECRETS)
    for name in SECRETS:
        with pytest.raises(MissingVariable, match="make secrets"):
            load({other: value for other, value in SECRETS.items() if other != name})
    used = [value for service in project.services.values() for value in service.environment.values()]
    assert set(SECRETS.values()) <= set(used)
    for service in project.services.values():
        for name, value in service.environment.items():
            if re.search(r"PASSWORD|SECRET|TOKEN", name):
                assert value in SECRETS.values(), name


def test_make_secrets_writes_what_is_missing_and_no_more(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "secrets", tmp_path / ".ci")
    shutil.copy(ROOT / ".env.example", tmp_path)
    kept = next(iter(SECRETS))
    written = tmp_path / ".env"
    written.write_text(f"{kept}=mine\n")
    for _ in range(2):
        subprocess.run([tmp_path / ".ci" / "secrets"], check=True, capture_output=True)
        values = dict(line.split("=", 1) for line in written.read_text().splitlines())
        assert set(values) == set(SECRETS)
        assert values.pop(kept) == "mine"
        assert len(set(values.values())) == len(values)
        assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())
    load({**values, kept: "mine"})
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored
    made = tmp_path / "new"
    shutil.copytree(tmp_path, made, ignore=shutil.ignore_patterns(".env", "new"))
    subprocess.run([made / ".ci" / "secrets"], check=True, capture_output=True)
    assert (made / ".env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("end", ["\n", ""], ids=["with the last newline", "without it"])
@pytest.mark.parametrize("empty", ["", '""', " "])
def test_make_secrets_fills_what_is_empty(tmp_path: Path, empty: str, end: str) -> None:
    """As in a copy of .env.example, whose last line an editor may have left without its end."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "secrets", tmp_path / ".ci")
    shutil.copy(ROOT / ".env.example", tmp_path)
    written = tmp_path / ".env"
    example = (ROOT / ".env.example").read_text()
    written.write_text(re.sub(r"=$", f"={empty}", example, flags=re.MULTILINE) + f"MINE=a=b{end}")
    subprocess.run([tmp_path / ".ci" / "secrets"], check=True, capture_output=True)
    lines = [line for line in written.read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    assert len(lines) == len(values) == len(SECRETS) + 1
    assert values.pop("MINE") == "a=b"
    assert set(values) == set(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())
    assert not list(tmp_path.glob(".env.new"))
    before = written.read_text()
    subprocess.run([tmp_path / ".ci" / "secrets"], check=True, capture_output=True)
    assert written.read_text() == before


def test_images_are_pinned(project: Project) -> None:
    for service in project.services.values():
        if service.build is None:
            tag = service.image.partition(":")[2]
            assert re.fullmatch(r"v?\d+(\.\d+){1,2}(-pg18)?", tag), service.image
    assert project.services["grafana"].image.endswith(f":{GRAFANA}")
    assert project.services["kafka"].image.endswith(f":{version_of_jars()}"), "the tests' broker is another one"


def test_ours_may_do_little(project: Project) -> None:
    for name in OURS:
        service = project.services[name]
        assert service.read_only
        assert service.cap_drop == ["ALL"]
        assert service.security_opt == ["no-new-privileges:true"]
        assert service.tmpfs == ["/tmp"]
        assert service.build is not None
        instructions = stages()[service.build.target]
        users = [rest for instruction, rest in instructions if instruction == "USER"]
        assert users
        assert all(int(part) > 0 for part in users[-1].split(":"))
        assert ("ENTRYPOINT", f'["{"simulate" if name == "simulator" else "collector"}"]') in instructions


def test_images_are_built_in_stages() -> None:
    """What builds stays behind: the stages that run begin from a bare Python, and take one folder."""
    for name in ("collector", "simulator"):
        instructions = stages()[name]
        assert next(rest for instruction, rest in instructions if instruction == "FROM").endswith("-slim-trixie")
        assert not any(instruction == "RUN" for instruction, _ in instructions)
        assert all(rest.startswith("--from=") for instruction, rest in instructions if instruction == "COPY")
    assert any(instruction == "HEALTHCHECK" for instruction, _ in stages()["collector"])


def test_what_the_image_is_built_from_gets_into_it() -> None:
    """.dockerignore lets through what the Dockerfile copies, and no secrets."""
    ignored, *let_through = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    allowed = {line[1:] for line in let_through if line.startswith("!")}
    copied = {path for instruction, rest in stages()["build"] if instruction == "COPY" for path in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_only_the_loopback_is_listened_on(project: Project) -> None:
    published = [port for service in project.services.values() for port in service.ports]
    assert len(published) >= 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_services_wait_for_what_they_need(project: Project) -> None:
    for name, service in project.services.items():
        for needed, condition in service.depends_on.items():
            assert needed in project.services, name
            other = project.services[needed]
            if condition.condition == "service_healthy":
                assert _has_health(other), f"{name} waits for {needed}, which never says"
            else:
                assert condition.condition == "service_completed_successfully"
                assert other.restart == "no", f"{name} waits for the end of {needed}"
    for name in ("collector", "consumer", "grafana"):
        assert "migrate" in project.services[name].depends_on
    assert set(project.services["migrate"].depends_on) == {"database"}


def _has_health(service: Service) -> bool:
    return service.healthcheck is not None and bool(service.healthcheck.test)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_for_long_says_how_it_is_and_starts_again(project: Project, name: str) -> None:
    service = project.services[name]
    assert _has_health(service)
    assert service.restart == "unless-stopped"


def test_there_is_time_to_drain(project: Project) -> None:
    for name in ("collector", "consumer"):
        service = project.services[name]
        settings = load_settings(service.environment)
        assert service.stop_grace_period is not None
        assert seconds(service.stop_grace_period) > settings.drain_s + KILL_AFTER_S + 5


def test_settings_are_those_there_are(project: Project) -> None:
    known = {variable(name) for name in Settings.__struct_fields__}
    for name in OURS:
        environment = project.services[name].environment
        assert set(environment) <= known | {"PGPASSWORD"}
        load_settings(environment)


def test_everything_that_is_mounted_is_there(project: Project) -> None:
    used = set()
    for service in project.services.values():
        for source, target, *mode in (volume.split(":") for volume in service.volumes):
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"], source
            else:
                assert source in project.volumes
                used.add(source)
            assert target.startswith("/")
        for config in service.configs:
            assert config.source in project.configs
    assert used == set(project.volumes)


def test_the_database_keeps_its_data_where_postgresql_18_has_it(project: Project) -> None:
    """In a folder of the version below this one; mounted any deeper, the data would be in the container."""
    assert "database:/var/lib/postgresql" in project.services["database"].volumes


def test_grafana_gets_what_its_files_ask_for(project: Project) -> None:
    grafana = project.services["grafana"]
    mounts = dict(volume.split(":")[1::-1] for volume in grafana.volumes)
    assert (ROOT / mounts["/etc/grafana/provisioning"]).resolve() == FOLDER / "provisioning"
    provider = yaml.safe_load((FOLDER / "provisioning" / "dashboards" / "collector.yaml").read_text())["providers"][0]
    shown = ROOT / mounts[provider["options"]["path"]]
    assert {path.name for path in shown.iterdir()} == {path.name for path in (FOLDER / "dashboards").iterdir()}
    home = grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (shown / Path(home).name).exists()
    sources = (FOLDER / "provisioning" / "datasources" / "collector.yaml").read_text()
    assert set(re.findall(r"\$(GRAFANA_\w+)", sources)) <= set(grafana.environment)
    # The reading role, and no other password than its own.
    assert grafana.environment["GRAFANA_DATABASE_USER"] == "grafana"
    assert grafana.environment["GRAFANA_DATABASE_PASSWORD"] == SECRETS["DATABASE_GRAFANA_PASSWORD"]
    assert dashboard_variables.DATABASE_UID in sources


def test_prometheus_asks_every_collector_and_consumer(project: Project) -> None:
    document = yaml.safe_load((ROOT / "dashboards" / "prometheus.yaml").read_text())
    jobs = [job for job in document["scrape_configs"] if job["job_name"] in project.services]
    asked = {
        (name, found["port"]) for job in jobs for found in job.get("dns_sd_configs", []) for name in found["names"]
    }
    consumer = project.services["consumer"].command
    port = int(consumer[consumer.index("--metrics-port") + 1])
    assert asked == {("collector", Settings().port), ("consumer", port)}


def test_the_database_has_connections_for_all(project: Project) -> None:
    """timescaledb-tune would write 25 for so little memory."""
    allowed = int(server_settings(project.services["database"])["max_connections"])
    serving = project.services["collector"].command
    workers = int(serving[serving.index("--workers") + 1])
    # Superusers' own; three consumers, which have no endpoints; Grafana, people and `migrate`.
    others = 3 + 3 * 10 + 10
    assert allowed >= workers * CONNECTIONS_TO_DATABASE + others


def test_the_broker_is_asked_without_another_jvm(project: Project) -> None:
    health = project.services["kafka"].healthcheck
    assert health is not None
    kind, program, *arguments = health.test
    assert (kind, program) == ("CMD", "bash")
    assert "PLAINTEXT://:9092" in project.services["kafka"].environment["KAFKA_LISTENERS"]

    def answers(port: int) -> bool:
        asked = [each.replace("9092", str(port)) for each in arguments]
        return subprocess.run([program, *asked], capture_output=True, timeout=60, check=False).returncode == 0

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert answers(port)
    assert not answers(port)


def test_the_consumer_asks_for_no_key_on_a_port_that_is_not_published(project: Project) -> None:
    consumer = project.services["consumer"]
    assert "--open" in consumer.command
    assert not consumer.ports


def test_profiles(project: Project) -> None:
    assert {name for name, service in project.services.items() if service.profiles} == {"simulator", "pgadmin"}
    assert project.services["simulator"].profiles == ["simulate"]
    assert project.services["pgadmin"].profiles == ["admin"]
