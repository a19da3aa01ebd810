"""The application and its database, as in tests/contract."""

from tests.contract.conftest import app, module_url, table

__all__ = ["app", "module_url", "table"]
