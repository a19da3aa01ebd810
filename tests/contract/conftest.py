"""An application and its database, shared by the tests of a module: each uses names of its own."""

from collections.abc import Iterator

import pytest

from tests.contract.driver import App, Table, running
from tests.harness.engines import Engine


@pytest.fixture(scope="module")
def module_url(engine: Engine) -> Iterator[str]:
    with engine.database() as url:
        yield url


@pytest.fixture(scope="module")
def app(module_url: str) -> Iterator[App]:
    with running(module_url) as application:
        yield application


@pytest.fixture(scope="module")
def table(module_url: str) -> Iterator[Table]:
    found = Table(module_url)
    yield found
    found.close()
