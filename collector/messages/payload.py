"""The payload of /stats and /payloads: one measurement of a player's session. Pure: no I/O."""

import msgspec

from collector.messages.decoding import Decoder
from collector.messages.fields import Amount, Name, nul_in

STARTING_MS = 300_000
"""A session may start with a payload whose `sessionDuration` is under this (the contract's rule for `sessions`)."""


class Payload(msgspec.Struct, gc=False, rename="camel"):
    """One measurement of a player's session."""

    token: Name
    """Unique to the session."""
    customer: Name
    content: Name
    timespan: Amount
    """Milliseconds that the measurement covers."""
    p2p: Amount
    """Bytes that came from peers in that time."""
    cdn: Amount
    """Bytes that came from the CDN in that time."""
    session_duration: Amount
    """Milliseconds since the session began."""


DECODER = Decoder(Payload, lambda row: nul_in(token=row.token, customer=row.customer, content=row.content))
