"""Types of fields that several kinds of messages share. Pure: no I/O."""

from typing import Annotated

from msgspec import Meta

Amount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""PostgreSQL's bigint, without its negative half."""
NAME_MAX_CHARACTERS = 256
Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARACTERS)]


def nul_in(**fields: str | None) -> str | None:
    """What is wrong with the first of these fields that has a NUL character, which PostgreSQL cannot store."""
    for name, text in fields.items():
        if text is not None and "\0" in text:
            return f"NUL characters cannot be stored - at `$.{name}`"
    return None
