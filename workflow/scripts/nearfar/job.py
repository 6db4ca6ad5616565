"""What every script of the workflow does around its one library call."""

import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from nearfar.errors import NearfarError


@contextmanager
def job(snakemake):
    """Run a script's body; end a failure in one line on the terminal and in the job's log.

    What the user can mend is that line; anything else is a defect of ours, and its traceback is in the log.
    """
    log = Path(snakemake.log[0])
    try:
        yield
        log.write_text("done\n")
    except NearfarError as error:
        _stop(log, f"nearfar: {error}")
    except Exception as error:
        log.write_text(traceback.format_exc())
        _stop(
            None,
            f"nearfar: rule {snakemake.rule}: {type(error).__name__}: {error}; the traceback is in {log}",
        )


def _stop(log, line):
    if log:
        log.write_text(line + "\n")
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    raise SystemExit(1)
