"""A run that was killed leaves nothing that the next one stumbles over."""

import os
import signal
import subprocess
import sys
import time

import pytest

RECOVER = [sys.executable, "-m", "nearfar.jobs.runs"]
TARGET = "results/one/eval.csv"


def started(project, *arguments):
    """A run in a session of its own, once its first job has begun."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", TARGET, *arguments]
    process = subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(project.folder.glob("results/logs/clips/*.log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def recover(project):
    environment = os.environ | {"PYTHONPATH": str(project.folder / "src")}
    return subprocess.run(RECOVER, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def test_a_killed_run_is_gone_on_with_and_no_job_of_it_lives_on(project):
    run = started(project)
    jobs = children(run.pid)
    assert jobs
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{job}") for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{job}") for job in jobs)
    done = recover(project)
    assert done.returncode == 0 and "the last run was killed" in done.stderr, done.stderr
    done = project.run(TARGET)
    assert done.returncode == 0, done.stdout
    assert not list(project.folder.rglob("*.part"))
    assert recover(project).stderr == ""


def test_a_run_that_is_alive_is_left_alone(project):
    run = started(project)
    os.kill(run.pid, signal.SIGSTOP)  # or it might end before patience does
    try:
        done = recover(project)
        assert done.returncode == 1
        assert done.stderr.startswith(f"nearfar: process {run.pid} is running in ") and done.stderr.count("\n") == 1
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


@pytest.mark.parametrize("arguments", [("-n",), ()])
def test_a_run_that_ends_by_itself_leaves_no_trace(project, arguments):
    project.run(TARGET, *arguments)
    assert list((project.folder / ".snakemake/nearfar/runs").iterdir()) == []
