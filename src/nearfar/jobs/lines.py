"""What a person sees of a run: a line for each job that ended, with counts and time left, and all failures last."""

import logging
import time

from nearfar.jobs.tally import Job, Tally, duration

ROUTINE = (
    "Assuming unrestricted shared",
    "Building DAG",
    "Using shell",
    "Conda environments: ignored",
    "Select jobs",
    "Elapsed time",
    "Shutting down",
    "Exiting because a job execution failed",
    "RuleException:\nCalledProcessError",  # the job has said why
    "Trying to restart job",
    "WorkflowError:\nAt least one job",
    "SLURM run ID",
    "Job ",  # … has been submitted with SLURM jobid …
)


class Lines(logging.Handler):
    """Writes what Snakemake tells its logger, in our words where it is about jobs.

    theirs: the handler in whose place it is, which writes the rest.
    """

    def __init__(self, theirs: logging.StreamHandler):
        super().__init__(theirs.level)
        self.theirs, self.tally = theirs, Tally()
        self.filters = theirs.filters  # so that --quiet holds here too
        self.ours = {
            "run_info": self._planned,
            "job_info": self._began,
            "job_finished": self._ended,
            "job_error": self._failed,
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or none."""
        event, text = getattr(record, "event", None), record.getMessage()
        if event in self.ours:
            self.ours[event](record)
        elif event in (None, "error", "group_error") and not text.startswith(ROUTINE):
            self._pass_on(record, text)

    def close(self) -> None:
        """Repeat the failures, a line each: this is the last that is heard of a run."""
        for line in self.tally.failures():
            self._write(line)
        self.tally = Tally()
        super().close()

    def _planned(self, record):
        self.tally.plan(record.stats, record.created)
        count = self.tally.total
        self._write(f"{_clock(record)}  {count} job{'s' * (count != 1)}")

    def _began(self, record):
        name = " ".join([record.rule_name, *map(str, record.wildcards.values())])
        self.tally.begin(record.jobid, Job(name, record.rule_name, record.created))

    def _ended(self, record):
        job, seconds = self.tally.end(record.job_id, record.created)
        left = self.tally.seconds_left(record.created)
        said = duration(seconds) + (f"; about {duration(left)} left" if left else "")
        total = str(self.tally.total)
        self._write(f"{_clock(record)}  {self.tally.done:>{len(total)}}/{total}  {job.name}  ({said})")

    def _failed(self, record):
        name = self.tally.fail(record.jobid, record.log, record.rule_msg)
        self._write(f"{_clock(record)}  failed: {name}")

    def _pass_on(self, record, text):
        """Write a message that is not about jobs; of an error of ours, the line alone and not where it was raised."""
        if mine := [line for line in text.splitlines() if line.startswith("nearfar: ")]:
            self._write("\n".join(mine))
        elif not text.startswith("Complete log") or self.tally.failed:
            self.theirs.emit(record)

    def _write(self, line):
        stream = self.theirs.stream
        clear = "\r\x1b[K" if stream.isatty() else ""  # a bar that a job has drawn
        stream.write(f"{clear}{line}\n")
        stream.flush()


def _clock(record):
    return time.strftime("%H:%M:%S", time.localtime(record.created))
