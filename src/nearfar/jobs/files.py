"""Every file that nearfar writes: parquet, safetensors and text, never half-written under its final name."""

import errno
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.errors import NearfarError, SetupError

UMASK = os.umask(0)
os.umask(UMASK)
MACHINE = f"{zlib.crc32(os.uname().nodename.encode()):08x}"  # its name, short: several may share a disk
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR}
UNWRITABLE |= {errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, for a file or a folder; put it in place only when the block ends well.

    What a process that was killed in such a block has left there is removed first.
    Raises NearfarError when the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{MACHINE}.{os.getpid()}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in _left_over(path):
                _remove(left)
            yield temporary
            if not temporary.is_symlink() and not temporary.is_dir():  # some writers keep their files to themselves
                temporary.chmod(0o666 & ~UMASK)
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def _left_over(path):
    """Yield the temporaries of ``path`` that this process, or one that is dead, made on this machine."""
    named = re.compile(re.escape(f".{path.name}.{MACHINE}.") + r"(\d+)\.part")
    for place in path.parent.iterdir():
        if (match := named.fullmatch(place.name)) and (int(match[1]) == os.getpid() or not _runs(int(match[1]))):
            yield place


def _runs(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _remove(path):
    """Remove a file or folder, if it is there and may be removed."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise NearfarError, naming ``path``, where the block finds the disk full or may not write."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        reason = os.strerror(error.errno).lower()
        raise SetupError(f"{path}: cannot be written ({reason}); make room or choose another folder") from error


def refuse_unwritable(folder: str | Path) -> None:
    """Raise NearfarError where a folder, or one directly in it, may not be written to, or not be made."""
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    below = folder.iterdir() if there == folder else ()
    for place in (there, *(entry for entry in below if entry.is_dir())):
        if not os.access(place, os.W_OK | os.X_OK):
            raise NearfarError(f"folder {place} cannot be written to; mount or make it writable, or choose another")


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8."""
    write_bytes(path, text.encode())


def append_text(path: str | Path, text: str) -> None:
    """Append ``text`` to ``path`` as UTF-8, as a log grows; raises NearfarError as ``replacing`` does."""
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path``: what a library has made in memory, whose own writer would not say why it fails."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_table(path: str | Path, columns: pa.Table | dict[str, Any]) -> None:
    """Write a pyarrow table, or a dict of equally long columns, as parquet."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Return the ``columns`` of a parquet file, None for all."""
    with pq.ParquetFile(path) as file:  # pq.read_table imports the data sets of many files, 40 CPU-ms a job
        return file.read(columns, use_threads=False)


def read_table(path: str | Path) -> dict[str, np.ndarray]:
    """Return the columns of a parquet file as a dict of numpy arrays, strings as ``object``."""
    table = read_parquet(path)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def write_vectors(
    path: str | Path,
    files: Iterable[str],
    vectors: Iterable[np.ndarray],
    contents: Iterable[str] | None = None,
    **about: str,
) -> None:
    """Write one vector (dims,) a clip, or one a fold (folds, dims), as parquet, in float32; of equal length.

    contents: a digest of each clip's file; about: words that are kept with them. See nearfar.features.files.
    """
    rows = np.stack([np.asarray(vector, np.float32) for vector in vectors])
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows[0].size)
    columns = {"file": list(files), "embedding": column} | ({} if contents is None else {"content": list(contents)})
    about |= {"folds": str(rows.shape[1])} if rows.ndim == 3 else {}
    write_table(path, pa.table(columns).replace_schema_metadata(about))


def read_vectors(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the file names (clips,) and the float32 vectors (clips, dims) or (clips, folds, dims) of a feature file.

    The latter where a clip has an embedding a fold, of the network that did not train on that fold.
    """
    table = read_parquet(path)
    column = table["embedding"].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    folds = (table.schema.metadata or {}).get(b"folds")
    shape = (len(table), -1) if folds is None else (len(table), int(folds), -1)
    return table["file"].to_numpy(zero_copy_only=False), column.values.to_numpy().reshape(shape)


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray], **metadata: Any) -> None:
    """Write named numpy arrays as safetensors, with ``metadata`` as one JSON text in its header."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_bytes(path, save(arrays, metadata={"nearfar": json.dumps(metadata, sort_keys=True)}))


def read_about(path: str | Path) -> dict[str, Any]:
    """Return the metadata dict of a file made by write_arrays."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get("nearfar", "{}"))


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays (name to numpy array) and the metadata dict of a file made by write_arrays."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays, json.loads((file.metadata() or {}).get("nearfar", "{}"))


@contextmanager
def new_array(path: str | Path, dtype: type, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield a new .npy array, memory-mapped, so that memory need not hold it; in place when the block ends well.

    Raises NearfarError when the disk has no room for it or the folder cannot be written to.
    """
    with replacing(path) as temporary:
        np.lib.format.open_memmap(temporary, "w+", dtype, shape)  # the header, and a hole
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here; to write into the hole would be a SIGBUS
            with open(temporary, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(temporary))
        array = np.lib.format.open_memmap(temporary, "r+")
        yield array
        array.flush()
