"""Who can reach the server: whether requests need API keys, and the certificate that HTTPS is served with."""

import ipaddress
import socket
import ssl

import msgspec
import structlog

from collector.errors import CollectorError, SettingError
from collector.settings import Settings, variable

log = structlog.get_logger()


def check_keys(settings: Settings, keys: int) -> None:
    """Raises CollectorError where strangers could reach a collector that nobody has a key for."""
    if settings.api_keys == "on" and not keys:
        if not is_loopback(settings.host):
            raise CollectorError(
                f"{settings.host} can be reached from elsewhere, and there is no API key yet: make one with "
                "`collector keys create --name NAME --scope ingest`, or let everybody in with --open"
            )
        log.warning("there is no API key yet, and requests need one: collector keys create")
    elif settings.api_keys == "off" and keys:
        log.warning("there are API keys, and nobody asks for them", host=settings.host)


def with_keys_decided(settings: Settings) -> Settings:
    """The settings with `api_keys` on or off."""
    if settings.api_keys != "auto":
        return settings
    return msgspec.structs.replace(settings, api_keys="off" if is_loopback(settings.host) else "on")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # to listen there will fail
    addresses = [ipaddress.ip_address(str(address).partition("%")[0]) for address in found]
    return all(address.is_loopback for address in addresses)


def check_certificate(settings: Settings) -> None:
    """Raises SettingError; the server would serve without TLS, or die in each worker."""
    certificate, keyfile = settings.ssl_certificate, settings.ssl_keyfile
    if certificate is None and keyfile is None:
        return
    if certificate is None or keyfile is None:
        missing = variable("ssl_certificate" if certificate is None else "ssl_keyfile")
        raise SettingError(f"{missing}: a certificate and its key go together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, keyfile, lambda: "")
    except (OSError, ValueError) as exc:
        raise SettingError(f"{variable('ssl_certificate')}: {certificate} and {keyfile}: {exc}") from exc
