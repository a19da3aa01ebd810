"""Properties of librdkafka that a user gives: TLS, SASL and the like; not those that the queue's promises stand on."""

from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

from collector.errors import SettingError
from collector.settings import Settings, variable

OURS = frozenset(
    {
        *(
            "bootstrap.servers",
            "metadata.broker.list",
            "group.id",
            "acks",
            "request.required.acks",
            "enable.idempotence",
        ),
        *("enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store", "auto.offset.reset", "partitioner"),
        *("partition.assignment.strategy", "message.timeout.ms", "delivery.timeout.ms", "transactional.id"),
        *("session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms", "group.protocol", "log_level"),
    }
)
"""What is acknowledged is on all replicas, and applied once: these properties see to it."""

SECRET = ("password", "secret", "token", ".pem", "oauthbearer.config")
"""Of a property's name: its value is not shown."""


def kafka_options(settings: Settings) -> dict[str, Any]:
    """The properties of COLLECTOR_KAFKA_OPTIONS. Raises SettingError, which never has a value in it."""
    text = settings.kafka_options
    if not text:
        return {}
    name = variable("kafka_options")
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
            raise SettingError(f"{name}: {path}: {reason}") from exc
    else:
        lines = text.split(",")
    found: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in stripped.partition("="))
        if not equals or not key:
            raise SettingError(f"{name}: entry {number} is not of the form name=value")
        if key in OURS:
            raise SettingError(f"{name}: {key} is the collector's own to set")
        found[key] = value
    return found


def check_options(settings: Settings) -> None:
    """Raises SettingError where the client does not take the properties; secrets are not in it."""
    options = kafka_options(settings)
    try:
        Producer({**options, "log_level": 0})
    except KafkaException as exc:
        why = str(exc.args[0].str())
        for key, value in options.items():
            if value and any(word in key for word in SECRET):
                why = why.replace(value, "…")
        raise SettingError(f"{variable('kafka_options')}: {why}") from None
