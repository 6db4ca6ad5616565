"""What is made of what Snakemake tells its logger."""

import io
import logging

import pytest
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from nearfar.jobs.lines import Lines
from nearfar.jobs.tally import Job, Tally, duration, why

SILENT_JOB = "ended without a word: killed, or out of memory or time"
TRACE = "features: 3/4\nTraceback (most recent call last):\n  File …\nValueError: odd\n"


class Run:
    """A handler, and what it writes where every event comes a second after the last."""

    def __init__(self, *quiet):
        self.stream, self.second = io.StringIO(), 0
        rules = DefaultFilter(set(quiet), debug_dag=False, verbose=False, dryrun=False, printshellcmds=False)
        theirs = ColorizingTextHandler(stream=self.stream, formatter=DefaultFormatter(), filter=rules)
        self.handler = Lines(theirs)

    def tell(self, event=None, text="", level=logging.INFO, **facts):
        record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
        self.second += 1
        record.__dict__.update(facts, event=event, created=self.second)
        self.handler.handle(record)
        return self.heard()

    def heard(self):
        """The lines since the last time, without the clock."""
        lines = [line.split("  ", 1)[-1] for line in self.stream.getvalue().splitlines()]
        self.stream.seek(0), self.stream.truncate()
        return lines

    def plan(self, **counts):
        return self.tell(LogEvent.RUN_INFO, "Job stats", stats=counts | {"total": sum(counts.values())})

    def begin(self, number, rule, *wildcards):
        return self.tell(
            LogEvent.JOB_INFO, jobid=number, rule_name=rule, wildcards=dict(enumerate(wildcards)), input=["x"] * 999
        )

    def end(self, number):
        return self.tell(LogEvent.JOB_FINISHED, f"Finished jobid: {number}", job_id=number)

    def fail(self, number, *logs, said=None):
        facts = {"jobid": number, "rule_name": "r", "log": list(logs), "rule_msg": said}
        return self.tell(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, **facts)


def test_a_job_is_one_line_with_counts_and_the_time_left():
    run = Run()
    assert run.plan(embed=4, fuse=1) == ["5 jobs"]
    lines = []
    for number in range(4):
        assert run.begin(number, "embed", "near", f"fan{number}") == []
        lines += run.end(number)
    assert lines[0] == "1/5  embed near fan0  (1 s)" and lines[1] == "2/5  embed near fan1  (1 s)"
    # a fourth, of a second, and the fusion, as long as the mean; half of the time nothing ran
    assert lines[2] == "3/5  embed near fan2  (1 s; about 4 s left)"
    run.begin(9, "fuse", "system1", "fan")
    assert run.end(9) == ["5/5  fuse system1 fan  (1 s)"]
    assert Run().plan(fuse=1) == ["1 job"]


def test_counts_stand_below_each_other():
    run = Run()
    run.plan(detect=111)
    run.begin(0, "detect", "knn", "fan")
    assert run.tell(LogEvent.JOB_FINISHED, job_id=0) == ["  1/111  detect knn fan  (1 s)"]


def test_failures_come_once_more_at_the_end(tmp_path):
    log = tmp_path / "detect.log"
    log.write_text("clips: 3/4\nnearfar: a.wav: silent; remove it\n")
    run = Run()
    run.plan(detect=3)
    for number, machine in enumerate(("fan", "pump", "saw")):
        run.begin(number, "detect", "knn", machine)
    assert run.fail(0, str(log)) == ["failed: detect knn fan"]
    assert run.fail(1, said="SLURM-job '63' failed,\nSLURM status is: 'OUT_OF_MEMORY'.") == ["failed: detect knn pump"]
    assert run.end(2) == ["1/3  detect knn saw  (3 s)"]
    run.handler.close()
    assert run.stream.getvalue().splitlines() == [
        f"failed: detect knn fan: a.wav: silent; remove it ({log})",
        "failed: detect knn pump: SLURM-job '63' failed, SLURM status is: 'OUT_OF_MEMORY'.",
    ]
    run.heard()
    run.handler.close()  # as logging does once more when Python ends
    assert run.heard() == []


def test_a_job_that_succeeds_when_tried_again_has_not_failed():
    run = Run()
    run.plan(detect=1)
    run.begin(0, "detect", "knn", "fan")
    run.fail(0)
    assert run.tell(text="Trying to restart job 0.") == []
    run.begin(0, "detect", "knn", "fan")
    assert run.end(0) == ["1/1  detect knn fan  (1 s)"]
    run.handler.close()
    assert run.heard() == []


@pytest.mark.parametrize(
    ("text", "message", "reason"),
    [
        ("nearfar: fan: too few; add some\n", "exit 1", "fan: too few; add some"),
        (TRACE, None, "ValueError: odd"),
        ("clips: 3/4, 2.0clip/s\n", None, SILENT_JOB),
        ("clips: 3/4, 2.0clip/s\n", "out of\nmemory", "out of memory"),
        ("", None, SILENT_JOB),
        (None, None, SILENT_JOB),
    ],
    ids=["ours", "trace", "progress", "message", "empty", "absent"],
)
def test_why_a_job_failed(tmp_path, text, message, reason):
    if text is not None:
        (tmp_path / "log").write_text(text)
    assert why(str(tmp_path / "log"), message) == reason


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    (tmp_path / "log").write_bytes(b"\xff\n" * 10**6 + b"nearfar: over; mend it\n\n")
    assert why(str(tmp_path / "log"), None) == "over; mend it"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01, "1 s"), (8.4, "8 s"), (99.4, "99 s"), (120, "2 min"), (5900, "98 min"), (7500, "2 h 5 min")],
)
def test_durations_for_reading(seconds, text):
    assert duration(seconds) == text


def test_slow_rules_that_are_left_count_as_such():
    jobs = Tally()
    jobs.plan({"quick": 10, "slow": 3, "total": 13}, 0)
    for number in range(9):
        jobs.begin(number, Job("q", "quick", number))
        jobs.end(number, number + 1)
    assert jobs.seconds_left(9) == pytest.approx(4)  # nothing is known of the slow
    jobs.begin(20, Job("s", "slow", 9))
    jobs.end(20, 109)
    assert jobs.seconds_left(109) == pytest.approx(201)
    jobs.begin(21, Job("s", "slow", 109))
    assert jobs.seconds_left(149) == pytest.approx(161)
    assert jobs.seconds_left(1000) == pytest.approx(101)  # beyond its mean it counts as about to end


def test_two_at_a_time_take_half_as_long():
    jobs = Tally()
    jobs.plan({"detect": 8, "total": 8}, 0)
    for number in range(4):
        jobs.begin(number, Job("d", "detect", 10 * (number // 2)))
    for number in range(4):
        jobs.end(number, 10 * (number // 2) + 10)
    assert jobs.seconds_left(20) == pytest.approx(20)


def test_what_is_not_about_jobs_is_passed_on_and_routine_is_not():
    run = Run()
    assert run.tell(text="Nothing to be done (all …).") == ["Nothing to be done (all …)."]
    assert run.tell(text="take care", level=logging.WARNING) == ["take care"]
    for routine in ("Building DAG of jobs...", "Select jobs to execute...", "Complete log(s): x", "Job 3 has been …"):
        assert run.tell(text=routine) == []
    assert run.tell(LogEvent.WORKFLOW_STARTED) == run.tell(LogEvent.PROGRESS) == []


def test_of_an_error_of_ours_the_line_stays():
    text = 'WorkflowError in file "rules/common.smk", line 32:\nnearfar: seed: none; write one\n  File "x", line 3'
    assert Run().tell(LogEvent.ERROR, text, logging.ERROR) == ["nearfar: seed: none; write one"]
    theirs = "MissingInputException in rule x:\nMissing input files"
    assert Run().tell(LogEvent.ERROR, theirs, logging.ERROR) == theirs.splitlines()


def test_quiet_holds():
    run = Run(Quietness.PROGRESS)
    run.plan(detect=1)
    run.begin(0, "detect", "knn", "fan")
    assert run.end(0) == []
    assert Run(Quietness.ALL).tell(text="Nothing to be done.") == []


def test_a_terminal_is_cleared_of_a_bar_before_a_line():
    run = Run()
    run.plan(detect=1)
    assert run.heard() == []
    run.stream.isatty = lambda: True
    run.begin(0, "detect", "knn", "fan")
    run.tell(text="nearfar: warning: a.wav clips; lower the gain")
    run.handler.emit(logging.makeLogRecord({"event": LogEvent.JOB_FINISHED, "job_id": 0, "created": 9.0}))
    assert run.stream.getvalue().startswith("\r\x1b[K")
