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
GROUPS = Counter(prepare=2, judge=2)  # of four clip tables and two features, of four detectors and two fusions
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

    def running(self, group, begun, seconds=1200):
        """Wait until a job of the group runs on each node and ``begun`` logs are there; return the jobs by node."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            running = [job for job in self.jobs() if job["State"] == "RUNNING" and group_of(job) == group]
            found = {job["NodeList"]: job for job in running}
            if found.keys() == {"n1", "n2"} and len(list(self.project.folder.glob("results/logs/detect/*"))) >= begun:
                return found
            time.sleep(0.2)
        raise AssertionError(f"no {group} on both nodes:\n{self.jobs()}\n{self.log.read_text()}")

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


def group_of(job):
    """Return the group of a submission: the plugin's comment is rule_<group>_<its rules>."""
    return job["Comment"].removeprefix("rule_").split("_")[0]


def fits(folder):
    """Return the inode of each fit of a job that is done: a fit that is made again is another file."""
    results = Path(folder, "results")
    done = [log for log in results.glob("logs/detect/*.log") if log.read_text().endswith("done\n")]
    files = [results / "fits" / f"{log.stem.replace('_', '/')}.safetensors" for log in done]
    return {str(file): file.stat().st_ino for file in files}


def outputs(folder):
    """Return the bytes of every result below results/ but for logs and benchmarks."""
    results = Path(folder, "results")
    files = [path for path in results.rglob("*") if path.is_file()]
    kept = [path for path in files if path.relative_to(results).parts[0] not in ("logs", "benchmarks")]
    return {str(path.relative_to(results)): path.read_bytes() for path in kept}


def test_the_same_bytes_as_a_local_run(local, submitted):
    jobs = submitted.finish()
    assert outputs(submitted.project.folder) == local
    assert Counter(map(group_of, jobs)) == GROUPS
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert {job["NodeList"] for job in jobs} == {"n1", "n2"}
    asked = {(job["MinMemory"], job["TimeLimit"]) for job in jobs if group_of(job) == "judge"}
    assert asked == {("4000M", "3:00:00")}  # of one job at a time, and of all three one after another


def test_a_job_and_a_node_die(local, submitted):
    """The cancelled group is submitted again, the dead node's is started again elsewhere; what was made is kept."""
    doomed = submitted.running("judge", begun=4)  # the second detector of each machine, so the first is done
    before = fits(submitted.project.folder)
    subprocess.run(["scancel", doomed["n1"]["JobID"]], check=True)
    os.kill(int(Path(os.environ["SLURM_TEST"], "n2.pid").read_text()), signal.SIGKILL)
    jobs = submitted.finish()
    assert outputs(submitted.project.folder) == local
    assert len(before) >= 2 and before.items() <= fits(submitted.project.folder).items()
    assert Counter(job["State"] for job in jobs) == {"COMPLETED": 4, "CANCELLED": 1}
    assert Counter(group_of(job) for job in jobs if job["State"] == "COMPLETED") == GROUPS
    again = {job["JobID"] for job in jobs if job["RestartCnt"] != "0"}
    assert again == {doomed["n2"]["JobID"]}
    assert [job["JobID"] for job in jobs if job["State"] == "CANCELLED"] == [doomed["n1"]["JobID"]]
    asked = Counter(job["MinMemory"] for job in jobs if group_of(job) == "judge")
    assert asked == {"4000M": 2, "8000M": 1}  # the second attempt asks for twice as much
