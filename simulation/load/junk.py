"""Lines and requests that nobody should accept, and blank lines: what a good device never sends. Pure."""

from __future__ import annotations

from random import Random

from msgspec import Struct

TOO_LONG = b'{"token":"' + b"x" * 70_000 + b'"}'  # over the 64 KiB that a line or a single payload may have

EVERYWHERE = (b"{", b"null", b"[]", b'"text"', b"{}", b"\xff\xfe{}", b"\x00", b"[" * 2000, b"not json", TOO_LONG)
NUMBER = b"9" * 4000
OF_PATH = {
    "/stats": (
        b'{"token":"t","customer":"junk","content":"c","timespan":1,"p2p":-1,"cdn":0,"sessionDuration":0}',
        b'{"token":"t","customer":"junk","content":"c","timespan":1,"p2p":0,"cdn":' + NUMBER + b',"sessionDuration":0}',
        b'{"token":"t","customer":"junk\\u0000","content":"c","timespan":1,"p2p":0,"cdn":0,"sessionDuration":0}',
        b'{"token":"","customer":"junk","content":"c","timespan":1,"p2p":0,"cdn":0,"sessionDuration":0}',
        b'{"token":"t","customer":"junk","content":"c","timespan":1,"p2p":0,"cdn":0}',
        b'{"token":"t","customer":"junk","content":"c","timespan":"1","p2p":0.5,"cdn":true,"sessionDuration":null}',
    ),
    "/analytics": (
        b'{"timestamp":-1,"user":"junk","kind":"click"}',
        b'{"timestamp":1,"user":"junk","kind":"look"}',
        b'{"timestamp":1,"user":"","kind":"click"}',
        b'{"user":"junk","kind":"click"}',
    ),
    "/sessions": (
        b'{"session":"junk","seq":-1,"cpu":1}',
        b'{"session":"junk","cpu":-0.5}',
        b'{"session":"junk","cpu":1e400}',
        b'{"session":"junk","phase":"middle","event":"login"}',
        b'{"session":"junk","properties":[1]}',
        b'{"session":"junk","properties":{"name":"\\u0000"}}',
        b'{"session":"junk","time":99999999999999}',
        b'{"seq":1}',
    ),
}
QUERIES = ("?timestamp=1&user=junk", "?timestamp=x&user=junk&click", "?user=junk&click", "?timestamp=1&click", "")


class Junk(Struct):
    """A line among good ones: rejected, or `blank` and passed over."""

    body: bytes
    blank: bool = False


def line(path: str, random: Random) -> Junk:
    """One that is not stored."""
    if random.random() < 0.2:
        return Junk(random.choice((b"", b"  ", b"\t", b"\r")), blank=True)
    return Junk(random.choice(_of(path)))


def request(path: str, random: Random) -> tuple[str, bytes]:
    """What comes behind the path, and the body, of a request that is refused as a whole."""
    if path == "/analytics":
        return random.choice(QUERIES), b""
    return "", random.choice(_of(path))


def _of(path: str) -> tuple[bytes, ...]:
    return EVERYWHERE + OF_PATH["/stats" if path == "/payloads" else path]
