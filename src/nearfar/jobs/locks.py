"""The one lock among processes: of a GPU, of a terminal."""

import os
from pathlib import Path

from nearfar.errors import NearfarError

FLAGS = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK


def locked(path: str | Path) -> int | None:
    """Return a descriptor that holds the lock of ``path``, a device or a file, or None while another process does.

    A file that is not there is made, readable by all: another user's may be locked, but not written to, which
    filelock.FileLock would want. Closing the descriptor gives the lock back; the kernel does, however the process ends.
    Raises NearfarError for a path that this user may not read.
    """
    from filelock import lock_descriptor  # 25 ms, and most jobs lock nothing

    try:
        descriptor = _opened(path)
    except OSError as error:
        why = os.strerror(error.errno).lower()
        raise NearfarError(f"{path}: cannot be locked ({why}); remove it, or set TMPDIR to another folder") from error
    if lock_descriptor(descriptor, blocking=False):
        return descriptor
    os.close(descriptor)
    return None


def _opened(path):
    try:
        return os.open(path, FLAGS)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:  # another process was first
            return os.open(path, FLAGS)
        os.fchmod(descriptor, 0o644)  # whatever the umask
        return descriptor
