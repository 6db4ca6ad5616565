"""What a machine's faults leave: an output that says why it holds nothing, so that the other machines go on.

With ``data.bad_clips: skip`` a job of one machine that finds its recordings unfit ends well and leaves the reason in
all its outputs; the machine's later jobs hand it on, and the tables of all machines say which could not be scored.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from nearfar.errors import NearfarError
from nearfar.jobs.files import write_bytes

MARK = b"nearfar could not make this: "  # no parquet, safetensors, npy or JSON begins so


def fault_of(path: str | Path) -> str | None:
    """Return why an output holds nothing, None where it is a file like others."""
    try:
        with open(path, "rb") as file:
            return file.read().decode() if file.read(len(MARK)) == MARK else None
    except IsADirectoryError:
        return None


def write_faults(outputs: Iterable[str | Path], reason: str) -> None:
    """Leave the reason in each of a job's outputs."""
    for path in outputs:
        write_bytes(path, MARK + reason.encode())


def faults(paths: Iterable[str | Path]) -> list[str]:
    """Return the reasons that are left in files, each once, in the order of ``paths``."""
    return list(dict.fromkeys(reason for path in paths if (reason := fault_of(path)) is not None))


def without_faults(*columns: Sequence[str]) -> list[list[str]]:
    """Return the columns of paths, a machine a row, without the rows in which one holds nothing.

    A column may as well hold machines' names. Raises NearfarError where no row is left.
    """
    rows = list(zip(*columns, strict=True))
    sound = [row for row in rows if not faults(path for path in row if Path(path).is_file())]
    if rows and not sound:
        first = faults(path for path in rows[0] if Path(path).is_file())
        raise NearfarError(f"no machine can be used; the first fault: {first[0]}")
    return [list(column) for column in zip(*sound, strict=True)]
