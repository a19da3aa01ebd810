"""How every connection is made."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from collector.errors import SettingError

OPTIONS: dict[str, str | int] = {
    "application_name": "collector",
    "connect_timeout": 10,
    # A network that swallows packets is noticed within 20 s, not after the kernel's 15 minutes.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def conninfo(url: str) -> str:
    """The URI or conninfo with our options, where it does not have its own."""
    given = conninfo_to_dict(url)
    return make_conninfo(url, **{name: value for name, value in OPTIONS.items() if name not in given})


def check_conninfo(url: str, name: str) -> None:
    """Raises SettingError, with the setting's name and not its value, which may have a password in it."""
    try:
        conninfo(url)
    except psycopg.Error as exc:
        raise SettingError(f"{name}: neither a postgresql:// URI nor a conninfo string of libpq") from exc
