"""How much a path of conditions explains of all that is hot. Pure: no I/O."""

import msgspec

from collector.report.counts import Split
from collector.report.view import View

PRICE = 2.0
"""One more value of a dimension, or a higher threshold, must explain so much more to be preferred."""
SAMPLED = 0.97
"""Of what is counted among some sessions, so much is taken: a condition more must not win by which ones these were."""


class Explained:
    """What conditions are measured by: the log of the risk ratio's lower bound, against everything outside of the whole
    path, times the share of the hot sessions covered.
    """

    def __init__(self, root: View) -> None:
        self._at = root.at
        self._of = {False: _Whole(root), True: _Whole(root.looked_into())}

    def hot(self, split: Split) -> int:
        """The hot sessions among those of which the split counts some."""
        return self._of[split.sampled].hot

    def by(self, split: Split) -> float:
        """By the path that ends with this split. Where only some sessions were looked into, as if the others were like
        them: else bounds of fewer sessions were compared with bounds of more.
        """
        root = self._of[split.sampled]
        sessions, hot = root.sessions, root.hot
        if split.of_parts:
            sessions, hot = root.pairs.get(split.at, (sessions, hot))
        outside = max(0, sessions - split.sessions)
        scale = self._of[False].sessions / max(1, root.sessions)
        against = msgspec.structs.replace(
            split,
            sessions=round(split.sessions * scale),
            hot=round(split.hot * scale),
            covered=round(split.covered * scale),
            outside_sessions=round(outside * scale),
            outside_hot=round(min(outside, max(0, hot - split.hot)) * scale),
            test_sessions=round(min(outside, root.sessions) * scale),
        )
        luck = SAMPLED if scale > 1 else 1.0
        return luck * against.score(round(root.hot * scale)) / (PRICE if split.at > self._at else 1.0)


class _Whole:
    """Of all there is, or of what was looked into: sessions, hot ones, and by threshold sessions with each of their
    events, and the hot ones of these.
    """

    def __init__(self, view: View) -> None:
        self.sessions, self.hot = view.count, view.hot_count
        self.pairs = _pairs(view)


def _pairs(view: View) -> dict[int, tuple[int, int]]:
    """By threshold: sessions with each of their events, and the hot ones of these."""
    parts = view.parts()
    if not len(parts.row):
        return {}
    return {
        at: (len(parts.row), int(view.table.is_hot(parts.measured, at).sum()))
        for at in range(view.at, len(view.table.thresholds))
    }
