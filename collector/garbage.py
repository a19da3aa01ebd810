"""Python's garbage collector, in processes that run for long."""

import gc

GC_THRESHOLDS = (20_000, 20, 100)
"""Python's default looks at every object each few thousand requests, for 40 ms at a time: most of what p99 was. Hardly
anything here lives in cycles."""


def collect_garbage_rarely() -> None:
    """Look for cycles rarely, and never among what the program has loaded so far."""
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
