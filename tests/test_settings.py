"""Settings: a bad one fails with its name, every one is documented, and all survive the way to a worker process."""

import ast
import inspect
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import collector.settings as module
from collector.errors import SettingError
from collector.settings import Settings, exported, load, unknown, variable

MISSPELT = "COLLECTOR_BATCH_ROW"
FIELDS = [field.name for field in msgspec.structs.fields(Settings)]


def test_nothing_set_is_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({variable(name): "" for name in FIELDS}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLLECTOR_PORT", "http"),
        ("COLLECTOR_PORT", "-1"),
        ("COLLECTOR_PORT", "65536"),
        ("COLLECTOR_PORT", "80.5"),
        ("COLLECTOR_WORKERS", "0"),
        ("COLLECTOR_WORKERS", "1_0"),
        ("COLLECTOR_BATCH_ROWS", "0"),
        ("COLLECTOR_BATCH_ROWS", "many"),
        ("COLLECTOR_BATCH_AGE_MS", "-0.1"),
        ("COLLECTOR_BATCH_AGE_MS", "nan"),
        ("COLLECTOR_BATCH_AGE_MS", "inf"),
        ("COLLECTOR_SINGLE_WAIT_S", "0"),
        ("COLLECTOR_SINGLE_WAIT_S", "inf"),
        ("COLLECTOR_DRAIN_S", "nan"),
        ("COLLECTOR_KEY_RETENTION_H", "-24"),
        ("COLLECTOR_TOKEN_RETENTION_DAYS", "1e300"),
        ("COLLECTOR_REJECTED_RETENTION_DAYS", "for ever"),
        ("COLLECTOR_SESSION_RETENTION_DAYS", "forever"),
        ("COLLECTOR_PAYLOAD_RETENTION_DAYS", "never"),
        ("COLLECTOR_PAYLOAD_COLUMNSTORE_DAYS", "forever"),
        ("COLLECTOR_ANALYTICS_RETENTION_DAYS", "0.5"),
        ("COLLECTOR_CHUNK_H", "0"),
        ("COLLECTOR_CORS_ORIGINS", "shop.example"),
        ("COLLECTOR_CORS_ORIGINS", "https://shop.example/"),
        ("COLLECTOR_CORS_ORIGINS", "https://shop.example, *"),
        ("COLLECTOR_CORS_ORIGINS", "https://*.example"),
        ("COLLECTOR_LOG_LEVEL", "loud"),
        ("COLLECTOR_LOG_LEVEL", "info\n"),
        ("COLLECTOR_LOG_JSON", "perhaps"),
    ],
)
def test_a_bad_setting_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert repr(value) in str(caught.value)


FREE = {
    *("database_url", "read_database_url", "data_dir", "postgres_bin", "host", "kafka_bootstrap", "kafka_options"),
    *("ssl_certificate", "ssl_keyfile"),
}
"""Of these only the use can tell whether they are good."""


@pytest.mark.parametrize("name", sorted(set(FIELDS) - FREE))
def test_every_other_setting_can_be_bad(name: str) -> None:
    with pytest.raises(SettingError, match=variable(name)):
        load({variable(name): "certainly not"})


def test_flags_go_before_variables_and_absent_ones_do_not() -> None:
    assert load({"COLLECTOR_PORT": "1"}, port=2).port == 2
    assert load({"COLLECTOR_PORT": "1"}, port=None).port == 1
    assert load({"DATABASE_URL": "postgresql://a"}, database_url="postgresql://b").database_url == "postgresql://b"


def test_a_bad_flag_is_named_too() -> None:
    with pytest.raises(SettingError, match=r"^--port: .*70000"):
        load({"COLLECTOR_PORT": "1"}, port=70_000)
    with pytest.raises(SettingError, match=r"^--log-level: "):
        load({}, log_level="loud")


def test_what_looks_like_a_setting_and_is_none_is_found_with_what_it_is_like() -> None:
    given = {
        **{variable(name): "1" for name in FIELDS},
        MISSPELT: "5",
        "COLLECTOR_DATABASE_URL": "postgresql://a",
        "COLLECTOR_XYZZY": "1",
        "COLLECTOR_FAULT_ROUNDS": "100",
        "COLLECTOR_TEST_KAFKA": "1",
        "BATCH_ROWS": "5",
    }
    assert unknown(given) == {
        MISSPELT: "COLLECTOR_BATCH_ROWS",
        "COLLECTOR_DATABASE_URL": "DATABASE_URL",
        "COLLECTOR_XYZZY": None,
    }


def test_variables_of_make_compose_and_the_tests_are_no_misspelt_settings() -> None:
    root = Path(module.__file__).parent.parent
    sources = [root / "Makefile", root / "compose.yaml", root / "docs" / "kubernetes.yaml"]
    sources += [path for path in (root / "tests").rglob("*.py") if path != Path(__file__)]
    named = {name for path in sources for name in re.findall(r"\bCOLLECTOR_[A-Z_]*[A-Z]\b", path.read_text())}
    assert "COLLECTOR_FAULT_ROUNDS" in named
    assert unknown(dict.fromkeys(named - {MISSPELT}, "1")) == {}


def test_folders_may_begin_with_the_home() -> None:
    assert load({"COLLECTOR_DATA_DIR": "~/data"}).data_dir == Path.home() / "data"


def test_only_database_url_has_another_name() -> None:
    for name in FIELDS:
        assert variable(name) == ("DATABASE_URL" if name == "database_url" else f"COLLECTOR_{name.upper()}")


chosen_settings = st.builds(
    Settings,
    database_url=st.none() | st.just("postgresql://user@host/db"),
    data_dir=st.none() | st.just(Path("/somewhere")),
    port=st.integers(0, 65535),
    workers=st.integers(1, 256),
    batch_rows=st.integers(1, 10**9),
    batch_age_ms=st.floats(0, 1000),
    single_wait_s=st.floats(0.001, 1000),
    key_retention_h=st.floats(0.001, 1e5),
    payload_retention_days=st.just("forever") | st.floats(0.001, 1e5),
    payload_columnstore_days=st.just("never") | st.floats(0.001, 1e5),
    log_level=st.sampled_from(["debug", "info", "warning", "error"]),
    log_json=st.booleans(),
)


@given(chosen_settings)
def test_a_worker_process_gets_the_same_settings(settings: Settings) -> None:
    assert load(exported(settings)) == settings


def test_every_setting_has_its_reason_beside_it() -> None:
    """A text after each field; what people read of the settings is made of these."""
    (tree,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(tree, ast.ClassDef)
    documented = {
        statement.target.id
        for statement, following in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and len(str(following.value.value)) > 15
    }
    assert documented == set(FIELDS)


def test_every_variable_that_the_code_reads_is_a_setting() -> None:
    package = Path(module.__file__).parent
    named = {
        name
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in re.findall(r"\bCOLLECTOR_[A-Z_]+", node.value)
    }
    assert named
    assert named <= {variable(name) for name in FIELDS}
