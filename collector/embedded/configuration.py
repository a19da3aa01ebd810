"""The settings of the private server."""

import os
import re
from collections.abc import Mapping

from collector.embedded.errors import EmbeddedError
from collector.embedded.installation import Installation

SHARED_BUFFERS_MB = 128
# PostgreSQL has the socket to itself, in a folder of its own, so its port is only part of the socket's name.
PORT = 5432


def settings_for(installation: Installation, socket_dir: str, cluster_name: str) -> dict[str, str]:
    """Name and value of each setting that the collector manages."""
    settings = {
        # Acknowledged means durable.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # Reached through a socket in a private folder, and no other way.
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": _list_item(socket_dir),
        "unix_socket_permissions": "0700",
        "cluster_name": cluster_name,
        "shared_buffers": f"{_shared_buffers_mb()}MB",
        # Fewer checkpoints: each one makes every page be written whole to the WAL again.
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        # Filling each new WAL segment with zeros held up every commit for 50 to 100 ms.
        "wal_init_zero": "off",
        "wal_compression": installation.wal_compression,
        "max_connections": "100",
        "jit": "off",  # compiling costs more than it saves in queries of milliseconds
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] ",
        "lc_messages": "C",
    }
    if installation.has_timescaledb:
        settings |= {
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "timescaledb.max_background_workers": "8",
            # Those eight, PostgreSQL's own parallel workers, and TimescaleDB's launcher and one scheduler a database.
            "max_worker_processes": "24",
        }
    return settings


def render(settings: Mapping[str, str]) -> str:
    """The configuration file: PostgreSQL's own first, then what the collector sets."""
    lines = [
        "# Written by the collector at each start; changes here are lost.",
        "# Put your own into postgres/postgresql.conf, or use ALTER SYSTEM, which wins over this file.",
        "include_if_exists = 'postgres/postgresql.conf'",
    ]
    for name, value in settings.items():
        named = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", name)
        if not named or "\n" in value or "\0" in value:
            raise EmbeddedError(f"{name!r} = {value!r} is no setting of PostgreSQL")
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{escaped}'")
    return "\n".join(lines) + "\n"


def _list_item(path: str) -> str:
    """A path as one item of a comma-separated list setting."""
    return '"' + path.replace('"', '""') + '"'


def _shared_buffers_mb() -> int:
    """128 MB, at most an eighth of the machine's memory, at least 16 MB."""
    try:
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (OSError, ValueError):
        return SHARED_BUFFERS_MB
    return max(16, min(SHARED_BUFFERS_MB, memory_mb // 8))
