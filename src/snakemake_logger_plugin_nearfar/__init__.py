"""What a person sees of a run: a line for each job that ended, with counts and time left; its failures once more last.

Snakemake finds this package by its name, and the profiles choose it (``logger``). A dry run and ``--verbose`` show what
Snakemake says by itself; its log file has that in any case. Nothing of nearfar is imported: this is loaded before the
Snakefile puts its own clone first.
"""

import logging
import sys
import time

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_nearfar.jobs import Job, Jobs, duration

SILENT = (
    "Assuming unrestricted shared",
    "Building DAG",
    "Using shell",
    "Conda environments: ignored",
    "Select jobs",
    "Execute ",
    "Elapsed time",
    "Exiting because a job execution failed",
    "RuleException:\nCalledProcessError",  # the job has said why
    "Trying to restart job",
    "WorkflowError:\nAt least one job",
    "SLURM run ID",
    "Job ",  # … has been submitted with SLURM jobid …
)


class LogHandler(LogHandlerBase):
    """Writes to stderr what Snakemake tells, in our words where it is about jobs."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False  # so that --quiet holds here too
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Make the handler that says the rest in Snakemake's words."""
        from snakemake.logging import ColorizingTextHandler

        self.jobs = Jobs()
        settings = self.common_settings
        self.everything = settings.verbose or settings.dryrun
        self.stream = sys.stdout if settings.stdout else sys.stderr
        self.theirs = ColorizingTextHandler(nocolor=settings.nocolor, stream=self.stream)
        self.ours = {
            LogEvent.RUN_INFO: self._planned,
            LogEvent.JOB_INFO: self._began,
            LogEvent.JOB_FINISHED: self._ended,
            LogEvent.JOB_ERROR: self._failed,
        }

    def setFormatter(self, fmt: logging.Formatter) -> None:  # noqa: N802, as logging has it
        """Let Snakemake's formatter make its own lines."""
        super().setFormatter(fmt)
        self.theirs.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or none."""
        try:
            self._tell(record)
        except Exception:  # as logging has it: what cannot be told ends no run
            self.handleError(record)

    def close(self) -> None:
        """Repeat the failures, a line each: this is the last that is heard of a run."""
        for line in self.jobs.failures():
            self._write(line)
        self.jobs = Jobs()
        super().close()

    def _tell(self, record):
        event, text = getattr(record, "event", None), record.getMessage()
        if self.everything:
            self.theirs.emit(record)
        elif event in self.ours:
            self.ours[event](record)
        elif event in (None, LogEvent.ERROR, LogEvent.GROUP_ERROR) and not text.startswith(SILENT):
            self._pass_on(record, text)

    def _planned(self, record):
        self.jobs.plan(record.stats, record.created)
        count = self.jobs.total
        self._write(f"{_clock(record)}  {count} job{'s' * (count != 1)}")

    def _began(self, record):
        name = " ".join([record.rule_name, *map(str, record.wildcards.values())])
        self.jobs.begin(record.jobid, Job(name, record.rule_name, record.created))

    def _ended(self, record):
        job, seconds = self.jobs.end(record.job_id, record.created)
        left = self.jobs.seconds_left(record.created)
        said = duration(seconds) + (f"; about {duration(left)} left" if left else "")
        total = str(self.jobs.total)
        self._write(f"{_clock(record)}  {self.jobs.done:>{len(total)}}/{total}  {job.name}  ({said})")

    def _failed(self, record):
        name = self.jobs.fail(record.jobid, record.log, record.rule_msg)
        self._write(f"{_clock(record)}  failed: {name}")

    def _pass_on(self, record, text):
        """Write a message that is not about jobs; of an error of ours, the line alone and not where it was raised."""
        if mine := [line for line in text.splitlines() if line.startswith("nearfar: ")]:
            self._write("\n".join(mine))
        elif not text.startswith("Complete log") or self.jobs.failed:
            self.theirs.emit(record)

    def _write(self, line):
        clear = "\r\x1b[K" if self.stream.isatty() else ""  # a bar that a job has drawn
        self.stream.write(f"{clear}{line}\n")
        self.stream.flush()


def _clock(record):
    return time.strftime("%H:%M:%S", time.localtime(record.created))
