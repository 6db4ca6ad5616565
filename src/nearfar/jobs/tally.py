"""The jobs of a run: how many there are, what those that ended took, what is left, and which failed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ENOUGH = 3  # jobs that must have ended before they tell how long the others will take
TAIL = 16384  # bytes of a log that are read for its last line


@dataclass(frozen=True)
class Job:
    """A job under way: its rule and wildcards as a name, its rule, and when it began (s since the epoch)."""

    name: str
    rule: str
    began: float


class Tally:
    """Counts jobs as Snakemake tells of them; times are in seconds since the epoch."""

    def __init__(self):
        self.total = self.done = 0
        self.began = 0.0
        self.left, self.ended, self.took = Counter(), Counter(), Counter()  # by rule
        self.running, self.failed = {}, {}  # by Snakemake's number of the job: Job; why it failed

    def plan(self, counts: dict[str, int], now: float) -> None:
        """Take in how many jobs of each rule there are, with their "total"."""
        self.began, self.left = now, Counter(counts)
        self.total = self.left.pop("total")

    def begin(self, number: int, job: Job) -> None:
        """Take in that a job began, maybe after it failed before."""
        self.running[number] = job
        self.failed.pop(number, None)

    def end(self, number: int, now: float) -> tuple[Job, float]:
        """Take in that a job ended well; return it and the seconds that it took."""
        job = self.running.pop(number)
        seconds = now - job.began
        self.done += 1
        self.left[job.rule] -= 1
        self.ended[job.rule] += 1
        self.took[job.rule] += seconds
        return job, seconds

    def fail(self, number: int, logs: Iterable[str], message: str | None) -> str:
        """Take in that a job failed, with what Snakemake says of it if anything; return the job's name."""
        name = self.running[number].name
        log = next(filter(None, logs), "")
        self.failed[number] = f"failed: {name}: {why(log, message)}" + (f" ({log})" if log else "")
        return name

    def failures(self) -> Iterator[str]:
        """Return a line for each job that failed for good."""
        return iter(self.failed.values())

    def seconds_left(self, now: float) -> float | None:
        """Return about how long the rest takes, or None where too few jobs have ended to tell.

        Each job that is left counts as the mean of those of its rule that ended, or of all where none has; they are
        taken to run as many at a time as they did so far.
        """
        if self.done < ENOUGH or self.done >= self.total:
            return None
        mean = sum(self.took.values()) / self.done
        owed = {rule: self.took[rule] / self.ended[rule] if self.ended[rule] else mean for rule in self.left}
        gone = [(min(now - job.began, owed[job.rule]), now - job.began) for job in self.running.values()]
        rest = sum(self.left[rule] * seconds for rule, seconds in owed.items()) - sum(part for part, _ in gone)
        at_a_time = (sum(self.took.values()) + sum(age for _, age in gone)) / max(now - self.began, 1e-3)
        return max(rest, 0) / max(at_a_time, 1e-3)


def why(log: str, message: str | None) -> str:
    """Return in a line why a job failed: the last of its log, or the message, or that it was silent."""
    try:
        text = Path(log).read_bytes()[-TAIL:].decode(errors="replace")
    except OSError:  # none was written, or none is known
        text = ""
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    if last.startswith("nearfar: "):
        return last.removeprefix("nearfar: ")
    if "Traceback (most recent call last)" in text:
        return last
    return " ".join((message or "ended without a word: killed, or out of memory or time").split())


def duration(seconds: float) -> str:
    """Return a time for reading, such as 8 s, 12 min or 2 h 5 min."""
    if seconds < 100:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
