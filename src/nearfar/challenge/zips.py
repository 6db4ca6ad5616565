"""What is refused of a zip archive before any of it is unpacked."""

import stat
import zipfile
from pathlib import PurePosixPath


def unsafe(entry: zipfile.ZipInfo) -> str | None:
    """Return what is wrong with where an entry of a zip would go, or None: a link, or a path that leads elsewhere."""
    name = entry.filename
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if name.startswith("/") or ".." in PurePosixPath(name).parts or set("\\:") & set(name):
        return "leads out of the folder"
    return None
