"""Times as clients write them."""

from datetime import UTC, datetime, timedelta

import msgspec

from collector.errors import BadRequest

DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


def parse_time(text: str, name: str) -> datetime:
    """Epoch milliseconds, or RFC 3339 with an offset; 1970 to 9999. Raises BadRequest with the parameter's name."""
    if text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= LAST_MS:
        # Not by way of a float, which has no exact milliseconds so far from 1970.
        return EPOCH + timedelta(milliseconds=int(text))
    try:
        time = msgspec.convert(text, datetime)
        if time.tzinfo is not None and (time := time.astimezone(UTC)).year >= 1970:
            return time
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError):
        pass
    raise BadRequest(f"{name}: epoch milliseconds or RFC 3339 with an offset, 1970 to 9999; given {text[:40]!r}")
