"""How every connection is made."""

from typing import Literal

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from collector.errors import SettingError
from collector.store.queries import QUERIES

OPTIONS: dict[str, str | int] = {
    "application_name": "collector",
    "connect_timeout": 10,
    # A network that swallows packets is noticed within 20 s, not after the kernel's 15 minutes.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


# A collector that vanishes in the middle of a transaction (power, network, SIGSTOP) must not hold its locks for as long
# as the server's kernel believes in the connection. While it waits for the rest of a COPY or of a pipeline it does
# not look at timeouts: see `end_stalled`.
WRITER_SESSION = """
SET idle_in_transaction_session_timeout = '10s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 3;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 20000;
"""


def conninfo(url: str) -> str:
    """The URI or conninfo with our options, where it does not have its own."""
    given = conninfo_to_dict(url)
    own = {name: value for name, value in OPTIONS.items() if name not in given}
    return make_conninfo(url, client_encoding="utf8", **own)  # what COPY is given is UTF-8, whatever the database has


def check_conninfo(url: str, name: str) -> None:
    """Raises SettingError, with the setting's name and not its value, which may have a password in it."""
    try:
        conninfo(url)
    except psycopg.Error as exc:
        raise SettingError(f"{name}: neither a postgresql:// URI nor a conninfo string of libpq") from exc


Task = Literal["ingest", "read"]
_NEEDS = {"ingest": ("payload", "INSERT"), "read": ("stats", "SELECT")}


async def limit_rights(connection: AsyncConnection[TupleRow], task: Task) -> None:
    """Give up what the task does not need: where it may, the connection goes on as `collector_ingest` or
    `collector_read`. Raises the driver's errors.
    """
    relation, privilege = _NEEDS[task]
    parameters = {"role": f"collector_{task}", "relation": relation, "privilege": privilege}
    await connection.execute(QUERIES["take_role"], parameters)
