"""The proxy sees COMMIT however the driver sends it, and however the bytes are cut."""

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.proxy import Messages


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


START = struct.pack("!ii", 8 + 7, 196608) + b"user\0x\0"
SYNC = message(b"S", b"")
SIMPLE = message(b"Q", b"COMMIT\0")
UNNAMED = [message(b"P", b"\0COMMIT\0\0\0"), message(b"B", b"\0\0\0\0\0\0\0\0"), message(b"E", b"\0\0\0\0\0"), SYNC]
PREPARE = [message(b"P", b"s1\0COMMIT\0\0\0"), SYNC]
NAMED = [message(b"B", b"\0s1\0\0\0\0\0\0\0"), message(b"E", b"\0\0\0\0\0"), SYNC]
OTHER = [message(b"P", b"\0SELECT 'COMMIT'\0\0\0"), message(b"B", b"\0\0\0\0\0\0\0\0"), SYNC]
COPIED = message(b"d", b"COMMIT\0")
SENT = [START, *OTHER, SIMPLE, COPIED, *UNNAMED, *OTHER, *PREPARE, *NAMED, COPIED]
COMMITS = [SIMPLE, b"".join(UNNAMED[1:]), b"".join(NAMED)]


@given(st.lists(st.integers(0, len(b"".join(SENT))), max_size=10))
def test_commits_are_seen_and_nothing_is_lost(cuts: list[int]) -> None:
    data = b"".join(SENT)
    edges = [0, *sorted(cuts), len(data)]
    messages = Messages()
    seen = [found for a, b in itertools.pairwise(edges) for found in messages.feed(data[a:b])]
    assert b"".join(found for found, _ in seen) == data
    assert [found for found, commits in seen if commits] == COMMITS
