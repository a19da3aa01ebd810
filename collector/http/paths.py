"""What is said of a path that there is not: which one was meant, if one is near. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

from collector.errors import NotFound

SHOWN_CHARACTERS = 100
"""Of a path: the longest of ours has a fifth, and likeness is looked for in no more."""


def no_endpoint(path: str, known: Iterable[str]) -> NotFound:
    """The problem of this path; `known` are those that it may have been meant for, `{name}` in place of a parameter."""
    shown = path[:SHOWN_CHARACTERS]
    near = get_close_matches(shown.lower(), known, n=1)
    return NotFound(f"no endpoint {shown}; {f'did you mean {near[0]}?' if near else 'see /docs'}")
