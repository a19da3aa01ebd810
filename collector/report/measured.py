"""What was measured of rows, added up: samples, their sum, and how many were over each threshold. Pure: no I/O."""

import msgspec
import numpy as np

from collector.report.columns import Bools, Floats, Ints


class Measured(msgspec.Struct):
    """Samples of each row, added up."""

    samples: Ints
    total: Floats
    """The sum of their CPU."""
    over: Ints
    """How many were over each threshold of the table: [threshold, row]."""
    highest: Floats | None = None
    """The highest; None where nobody asks."""

    def __len__(self) -> int:
        return len(self.samples)

    def at(self, rows: Ints | Bools) -> "Measured":
        """Of these rows."""
        highest = None if self.highest is None else self.highest[rows]
        return Measured(self.samples[rows], self.total[rows], self.over[:, rows], highest)

    def by(self, groups: Ints, count: int) -> "Measured":
        """Added up by group, 0 to `count` - 1."""
        highest = None
        if self.highest is not None:
            highest = np.zeros(count)
            np.maximum.at(highest, groups, self.highest)
        return Measured(
            added(groups, self.samples, count),
            summed(groups, self.total, count),
            np.stack([added(groups, over, count) for over in self.over]),
            highest,
        )

    def and_then(self, other: "Measured") -> "Measured":
        """These rows, and then those."""
        return Measured(
            np.concatenate((self.samples, other.samples)),
            np.concatenate((self.total, other.total)),
            np.concatenate((self.over, other.over), axis=1),
        )

    def where(self, chosen: Bools, other: "Measured") -> "Measured":
        """These rows where chosen, else the other's."""
        highest = None
        if self.highest is not None and other.highest is not None:
            highest = np.where(chosen, self.highest, other.highest)
        return Measured(
            np.where(chosen, self.samples, other.samples),
            np.where(chosen, self.total, other.total),
            np.where(chosen, self.over, other.over),
            highest,
        )

    def minus(self, other: "Measured") -> "Measured":
        """What is left of each row without the other's."""
        return Measured(
            np.maximum(0, self.samples - other.samples),
            self.total - other.total,
            np.maximum(0, self.over - other.over),
            self.highest,
        )


def summed(groups: Ints, numbers: Ints | Floats, count: int) -> Floats:
    """Sums by group."""
    return np.bincount(groups, numbers, count).astype(np.float64)


def added(groups: Ints, numbers: Ints | Bools, count: int) -> Ints:
    """Sums of whole numbers by group."""
    return np.bincount(groups, numbers, count).astype(np.int64)


def nothing(rows: int, thresholds: int = 1) -> Measured:
    """Of rows that nothing was measured of."""
    return Measured(np.zeros(rows, np.int64), np.zeros(rows), np.zeros((thresholds, rows), np.int64), np.zeros(rows))


def running(measured: Measured, starts: Ints, row: Ints) -> Measured:
    """Added up along each row, each element with those before it: rows begin at `starts`, an element is of `row`."""
    samples, total, over = np.cumsum(measured.samples), np.cumsum(measured.total), np.cumsum(measured.over, axis=1)
    return Measured(
        samples - (samples - measured.samples)[starts][row],
        total - (total - measured.total)[starts][row],
        over - (over - measured.over)[:, starts][:, row],
    )


def shares_of_time(inside: Measured, around: Measured, at: int) -> tuple[float, float]:
    """Which share of the samples over the threshold, and of all samples, is inside."""
    over, samples = int(around.over[at].sum()), int(around.samples.sum())
    hot = min(1.0, int(inside.over[at].sum()) / over) if over else 0.0
    return hot, (min(1.0, int(inside.samples.sum()) / samples) if samples else 0.0)
