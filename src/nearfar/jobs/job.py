"""What every script of the workflow does around its one library call."""

import gc
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar.data.dataset import skips
from nearfar.errors import NearfarError, SetupError
from nearfar.jobs.digests import digest, together
from nearfar.jobs.faults import faults, write_faults
from nearfar.jobs.files import append_text, writing
from nearfar.jobs.runs import end_with_run

running = {}  # "name" and "log" of the job in this process, for nearfar.jobs.progress; empty where there is none


@contextmanager
def logged(snakemake: Any) -> Iterator[None]:
    """Run a script's body; end a failure in one line on the terminal and in the job's log.

    What the user can mend is that line, or, where a machine's faults are to cost no other (data.bad_clips: skip), what
    its outputs then hold, see nearfar.jobs.faults; anything else is a defect of ours, and its traceback is in the log.
    What stands above that, or above "done", are lines of progress.
    """
    _without_pandas()
    gc.freeze()  # what is imported stays: looking it through when the process ends was a tenth of a short job
    skipping = hasattr(snakemake.wildcards, "machine") and skips(snakemake.config["data"])
    if hasattr(sys.modules["__main__"], "snakemake"):  # not where a test opens the block
        end_with_run()
    log = Path(snakemake.log[0])
    try:
        with writing(log):
            log.write_text("")  # of an earlier run
        if skipping and (inherited := faults(snakemake.input)):
            _give_up(snakemake, inherited[0], log)
        running.update(name=" ".join([snakemake.rule, *snakemake.wildcards]), log=log)
        try:
            yield
        finally:
            running.clear()  # a bar that is still open closes later, and must not have the last word
        append_text(log, "done\n")
    except SetupError as error:
        _stop(f"nearfar: {error}", log)
    except NearfarError as error:
        if skipping:
            reason = str(error).removeprefix(f"{snakemake.wildcards.machine}: ")
            sys.stderr.write(f"nearfar: warning: {snakemake.wildcards.machine} cannot be scored: {reason}\n")
            _give_up(snakemake, str(error), log)
        _stop(f"nearfar: {error}", log)
    except Exception as error:
        _stop(f"nearfar: rule {snakemake.rule}: {type(error).__name__}: {error}", log, traceback.format_exc())


def made_from(snakemake: Any, *models: str) -> str:
    """Return what stands for a job's settings, its code and the content of the ``models`` that it reads."""
    settings = json.dumps(dict(snakemake.params.items()), sort_keys=True)
    return together([settings, *map(digest, models)])


def _give_up(snakemake, reason, log):
    """End the process well, the reason in all outputs: the machine's faults are not those of the others."""
    write_faults(snakemake.output, reason)
    append_text(log, f"nearfar: {reason}\n")
    raise SystemExit(0)


def _stop(line, log, trace=""):
    """End the process with a line on stderr; the log gets it, or the traceback, where it can be written."""
    try:
        append_text(log, trace or line + "\n")
        line += f"; the traceback is in {log}" if trace else ""
    except (NearfarError, OSError) as error:
        line += f"; {error}" if trace else ""
    sys.stderr.write(" ".join(line.split()) + "\n")  # at once: other jobs write there too
    raise SystemExit(1)


class _Absent:
    """A finder to which pandas is not installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _without_pandas():
    """Let pyarrow look for pandas in vain; it looks once, at its first array, and the import costs 0.25 CPU-seconds.

    No job uses pandas through pyarrow. Afterwards it can be imported as ever.
    """
    import pyarrow

    sys.meta_path.insert(0, _Absent)
    pyarrow.array([0])
    sys.meta_path.remove(_Absent)
