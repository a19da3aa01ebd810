"""Tasks that run as long as the process does.

None of them is to end by an error: what may go wrong is caught where it is waited for. One that does end so is a
defect. It is logged, and the process says that it is not alive, so that whoever supervises it starts it anew: without
its writer it would turn everybody away, and nobody would know why. A probe asks one worker of many, and a consumer has
none: under `serve` and `consume` the process does not wait for it, but ends by itself (`at_defect`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

_ended: list[str] = []
_at_defect: Callable[[], object] | None = None


def at_defect(end: Callable[[], object]) -> None:
    """From now on `end`, called in the event loop, is to end this process once an error has ended a task."""
    global _at_defect
    _at_defect = end


def run(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Begin the work, in the event loop. It ends when it is done or cancelled, and not otherwise."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_done)
    return task


def ended() -> list[str]:
    """What an error has ended in this process."""
    return [f"{name} has ended by an error" for name in _ended]


def _done(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        _ended.append(task.get_name())
        log.error("task ended by an error", task=task.get_name(), exc_info=error)
        if _at_defect is not None:
            _at_defect()
