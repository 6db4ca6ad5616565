"""What comparison tells of systems: the rows of compare.csv."""

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Figure:
    """A metric of a system on one machine, or Ω on "all", a fraction with its 95 % interval over clips.

    low_machines, high_machines: the interval where machines are drawn anew too, of Ω only.
    """

    system: str
    machine: str
    metric: str
    value: float
    low: float
    high: float
    low_machines: float = nan
    high_machines: float = nan


@dataclass(frozen=True)
class Difference:
    """The paired difference of Ω, ``system`` less ``against``, a fraction with its intervals.

    p is that of a normal difference with the bootstrap's standard deviation: the share of draws beyond zero could not
    be small enough for many pairs. p_holm is adjusted over all pairs, detectable the smallest difference that such a
    test would detect four times in five, spearman the rank correlation of the scores.
    """

    system: str
    against: str
    metric: str
    value: float
    low: float
    high: float
    low_machines: float
    high_machines: float
    p: float
    detectable: float
    spearman: float
    p_holm: float = nan
    machine: str = "all"

    @property
    def verdict(self) -> str:
        """Return "better", "worse" or "not settled"."""
        if self.p_holm >= 0.05 or self.low <= 0 <= self.high:
            return "not settled"
        return "better" if self.low > 0 else "worse"
