"""JSON that is stored as it came, in a column of type jsonb: what PostgreSQL does not take of it. Pure: no I/O."""

import json
import re

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# Digits as zeros, so that numbers of a kind have one shape.
_SHAPE = bytes.maketrans(b"123456789E+", b"000000000e-")
_LONG_EXPONENT, _LONG_NEGATIVE_EXPONENT, _LONG_NUMBER = b"0e00000", b"0e-00000", b"0" * 6_000
_NUMERAL = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
# What PostgreSQL's numeric holds, a little less.
_MAX_DIGITS = 131_000
_MAX_SCALE = 16_000


def doubtful(block: bytes) -> bool:
    """Whether properties may have what jsonb does not take: quick looks at the whole block, right for nearly all."""
    if b"\\" in block and b"\\u" in block:
        return True
    shape = block.translate(_SHAPE)
    if _LONG_EXPONENT in shape or _LONG_NEGATIVE_EXPONENT in shape or _LONG_NUMBER in shape:
        return True
    if block.isascii():
        return False
    try:
        block.decode()
    except UnicodeDecodeError:
        return True
    return False


def unstorable(properties: bytes) -> str | None:
    """What is wrong with JSON that PostgreSQL's jsonb does not take."""
    if not properties.startswith(b"{"):
        return None if properties == b"null" else "Expected `object | null` - at `$.properties`"
    if _NUL.search(properties):
        return "NUL characters cannot be stored - at `$.properties`"
    try:
        json.loads(properties.decode(), parse_int=_check_number, parse_float=_check_number)
    except UnicodeDecodeError as exc:
        return f"not UTF-8: {exc.reason} - at `$.properties`"
    except (ValueError, RecursionError) as exc:
        return f"{exc} - at `$.properties`"
    return None


def _check_number(numeral: str) -> None:
    found = _NUMERAL.fullmatch(numeral)
    assert found is not None
    whole, fraction, exponent = found.groups(default="")
    power = int(exponent or 0) if len(exponent) < 10 else _MAX_DIGITS
    if len(whole) + power > _MAX_DIGITS or len(fraction) - power > _MAX_SCALE:
        raise ValueError(f"the number {numeral[:40]} cannot be stored")
