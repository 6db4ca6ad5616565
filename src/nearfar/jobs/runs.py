"""Runs of the workflow in this folder: which are alive, and what one that was killed has left.

Snakemake's own locks do not tell whether the run that made them lives; so each run holds a lock of its own, which the
kernel takes back however the run ends.
"""

import atexit
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from nearfar.errors import NearfarError
from nearfar.jobs.files import writing
from nearfar.jobs.locks import locked

RUNS = Path(".snakemake/nearfar/runs")  # a file a run, named by its process
PATIENCE = 5.0  # s that a run which was just killed may take to be gone
SET_PDEATHSIG = 1  # of Linux's prctl


def register() -> None:
    """Count this process as a run for as long as it lives."""
    own = (RUNS / str(os.getpid())).absolute()
    with writing(own):
        own.parent.mkdir(parents=True, exist_ok=True)
        locked(own)
    atexit.register(own.unlink, missing_ok=True)


def reach_python() -> None:
    """Let jobs find Python in a folder whose name a shell would take apart, such as one with a space.

    Snakemake puts ``sys.executable`` into the command of a job as it stands, so a path from the working folder must do.
    Raises NearfarError where that one has such a name too.
    """
    if shlex.quote(sys.executable) == sys.executable:
        return
    near = os.path.relpath(sys.executable)
    if shlex.quote(near) != near:
        raise NearfarError(
            f"{sys.executable}: Snakemake cannot start a Python whose path holds a space or the like; start in the"
            " folder that holds .venv, or move it"
        )
    sys.executable = near


def recover() -> None:
    """Take away what runs that were killed have locked. Raises NearfarError where another run stays alive."""
    dead, deadline = list(RUNS.glob("*")), time.monotonic() + PATIENCE
    while alive := [path for path in dead if not _ended(path)]:
        if time.monotonic() > deadline:
            raise NearfarError(
                f"process {alive[0].name} is running in {Path.cwd()}; let it end, or end it, and try again"
            )
        time.sleep(0.1)
    dead = [path for path in dead if path.exists()]  # one that ended by itself meanwhile took its own away
    if dead:
        print("nearfar: the last run was killed; going on where it was", file=sys.stderr, flush=True)
        unlock = [sys.executable, "-m", "snakemake", "--unlock"]
        subprocess.run(unlock, check=True, capture_output=True, preexec_fn=end_with_run)
    for path in dead:
        path.unlink(missing_ok=True)


def _ended(path: Path) -> bool:
    if (lock := locked(path)) is None:
        return False
    os.close(lock)
    return True


def end_with_run() -> None:
    """Let the kernel end this job when its run ends, so that a killed run leaves no writer behind. Linux only."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    try:
        recover()
    except NearfarError as error:
        raise SystemExit(f"nearfar: {error}") from None
