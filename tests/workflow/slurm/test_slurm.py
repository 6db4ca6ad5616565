"""The toy workflow through a real SLURM of two nodes: the same bytes as here, also where a job and a node die."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import TOY, Project, write_machine

REASON = os.environ.get("NO_SLURM", "run it by `make test-slurm`")
pytestmark = pytest.mark.skipif(REASON != "", reason=f"no SLURM: {REASON}")

TARGET = "results/one/eval.csv"
REMOTE = Counter(clips=4, feature=2, detect=4)
FIELDS = ("JobID", "State", "NodeList", "RestartCnt", "MinMemory", "TimeLimit", "Comment", "Name")
OFTEN = ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5"]
OFTEN += ["--latency-wait", "20", "--slurm-status-command", "squeue"]  # there is no accounting


class Submission:
    """A run of the toy project through profiles/slurm."""

    def __init__(self, folder):
        for machine in ("alpha", "beta"):
            write_machine(folder / "data", machine)
        self.project, self.name = Project(folder, TOY), folder.name
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", TARGET, *OFTEN]
        command += ["--slurm-jobname-prefix", self.name]
        self.log = folder / "run.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)

    def jobs(self):
        """Return what squeue knows of the run's jobs, finished ones as well: a dict of FIELDS each."""
        shown = ",".join(f"{field}:100" for field in FIELDS)
        command = ["squeue", "--states=all", "--noheader", f"--Format={shown}"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = [[line[100 * i : 100 * i + 100].strip() for i in range(len(FIELDS))] for line in lines]
        return [
            row for row in (dict(zip(FIELDS, row, strict=True)) for row in rows) if row["Name"].startswith(self.name)
        ]

    def running(self, rule, seconds=1200):
        """Wait until a job of the rule runs on each node; return the jobs by node."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            found = {job["NodeList"]: job for job in self.jobs() if job["State"] == "RUNNING" and job_rule(job) == rule}
            if found.keys() == {"n1", "n2"}:
                return found
            time.sleep(0.2)
        raise AssertionError(f"no {rule} on both nodes:\n{self.jobs()}\n{self.log.read_text()}")

    def finish(self, seconds=1800):
        assert self.process.wait(seconds) == 0, f"{self.jobs()}\n{self.log.read_text()}"
        return self.jobs()


@pytest.fixture
def submitted(tmp_path):
    submission = Submission(tmp_path)
    yield submission
    submission.process.kill()
    submission.process.wait()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The results of the same run without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    for machine in ("alpha", "beta"):
        write_machine(folder / "data", machine)
    project = Project(folder, TOY)
    done = project.run(TARGET)
    assert done.returncode == 0, done.stdout
    return outputs(folder)


def job_rule(job):
    """Return the rule of a job: the plugin's comment is rule_<rule>_wildcards_<values>."""
    return job["Comment"].removeprefix("rule_").split("_wildcards_")[0]


def outputs(folder):
    """Return the bytes of every result below results/ but for logs and benchmarks."""
    results = Path(folder, "results")
    files = [path for path in results.rglob("*") if path.is_file()]
    kept = [path for path in files if path.relative_to(results).parts[0] not in ("logs", "benchmarks")]
    return {str(path.relative_to(results)): path.read_bytes() for path in kept}


def test_the_same_bytes_as_a_local_run(local, submitted):
    jobs = submitted.finish()
    assert outputs(submitted.project.folder) == local
    assert Counter(map(job_rule, jobs)) == REMOTE
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert {job["NodeList"] for job in jobs} == {"n1", "n2"}


def test_a_job_and_a_node_die(local, submitted):
    """The cancelled job is submitted again, the dead node's is started again elsewhere; no other runs twice."""
    doomed = submitted.running("detect")
    subprocess.run(["scancel", doomed["n1"]["JobID"]], check=True)
    os.kill(int(Path(os.environ["SLURM_TEST"], "n2.pid").read_text()), signal.SIGKILL)
    jobs = submitted.finish()
    assert outputs(submitted.project.folder) == local
    assert Counter(job["State"] for job in jobs) == {"COMPLETED": 10, "CANCELLED": 1}
    assert Counter(job_rule(job) for job in jobs if job["State"] == "COMPLETED") == REMOTE
    again = {job["JobID"] for job in jobs if job["RestartCnt"] != "0"}
    assert again == {doomed["n2"]["JobID"]}
    assert [job["JobID"] for job in jobs if job["State"] == "CANCELLED"] == [doomed["n1"]["JobID"]]
    asked = Counter((job["MinMemory"], job["TimeLimit"]) for job in jobs if job_rule(job) == "detect")
    assert asked == {("4000M", "1:00:00"): 4, ("8000M", "2:00:00"): 1}  # the second attempt asks for twice as much
