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
    _without_pandas()
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


def _stop(log, line):
    if log:
        log.write_text(line + "\n")
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    raise SystemExit(1)
