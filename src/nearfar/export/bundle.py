"""One file with all that scoring needs: a zip of safetensors and JSON, each with its digest.

    manifest.json                           format, nearfar's version, sha256 of every other member
    model.json                              the system: fusion, detectors, features, recordings, machines
    networks/…                              what embeds clips, as the run left it
    machines/<machine>/<detector>.safetensors   fits, with the training clips' cross-fitted scores
    machines/<machine>/networks/…           networks of that machine alone

Nothing in it is executed. Digests tell a damaged file from a sound one; they do not tell who made it.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

from nearfar.data.documents import LARGEST, open_regular, parse_json
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import replacing

FORMAT = 1  # raise it where the same file would be scored otherwise, or could not be
MANIFEST, MODEL = "manifest.json", "model.json"
CHUNK = 1 << 20
MOST = 1 << 32  # bytes of a member, unpacked
PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OSError)
COPY = "copy it again, or make it again with nearfar export"


def write_bundle(path: str | Path, model: Mapping[str, Any], members: Mapping[str, str | Path]) -> None:
    """Write the file: ``model`` as JSON, and ``members``, a dict from the name in the file to the path of its content.

    The same content gives the same bytes. Raises NearfarError where it cannot be written.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        digests = {MODEL: _add(archive, MODEL, [json.dumps(model, sort_keys=True).encode()])}
        for name in sorted(members):
            with open(members[name], "rb") as file:
                digests[name] = _add(archive, name, iter(lambda file=file: file.read(CHUNK), b""))
        about = {"format": FORMAT, "nearfar": own_version(), "sha256": digests}
        _add(archive, MANIFEST, [json.dumps(about, sort_keys=True, indent=1).encode()])


def own_version() -> str:
    """Return the version of nearfar that runs, "unknown" where it is not installed."""
    try:
        return version("nearfar")
    except PackageNotFoundError:
        return "unknown"


def _add(archive, name, chunks):
    """Add a member of some chunks of bytes, without time or rights; return its digest."""
    sha = hashlib.sha256()
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        for chunk in chunks:
            sha.update(chunk)
            member.write(chunk)
    return sha.hexdigest()


class Bundle:
    """An exported file, open to be read; ``model`` is what its model.json says.

    Raises NearfarError, naming the file, for what is no such file, is cut or changed, or of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with self._named():
            self.archive = zipfile.ZipFile(open_regular(path))
            about = self._json(MANIFEST)
            _refuse_other_format(about)
            self.digests = about["sha256"]
            self.model = self._json(MODEL)
            self.machines, self.model["data"]  # both are there, or it is no such file
        self.digest = hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    @property
    def machines(self) -> list[str]:
        """The machines in the file, sorted."""
        return sorted(self.model["machines"])

    def refuse_unknown(self, machine: str) -> None:
        """Raise NearfarError for a machine that is not in the file."""
        if machine not in self.model["machines"]:
            raise NearfarError(f"{self.path}: has no machine {machine!r}; it holds {', '.join(self.machines)}")

    def extract(self, folder: str, place: str | Path) -> None:
        """Write the members below ``folder`` under ``place``; raises NearfarError for one that is not as it was."""
        for name in self.digests:
            if PurePosixPath(name).is_relative_to(folder):
                _refuse_outside(self.path, name)
                target = Path(place, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._named(), replacing(target) as temporary, open(temporary, "wb") as file:
                    for chunk in self._chunks(name):
                        file.write(chunk)

    def copy(self, path: str | Path, machines: Sequence[str]) -> None:
        """Write another such file of some of the machines; raises NearfarError for one that there is not."""
        import tempfile

        for machine in machines:
            self.refuse_unknown(machine)
        model = self.model | {"machines": {machine: self.model["machines"][machine] for machine in machines}}
        with tempfile.TemporaryDirectory(prefix="nearfar-") as place:
            for folder in ("networks", *(f"machines/{machine}" for machine in machines)):
                self.extract(folder, place)
            files = {file.relative_to(place).as_posix(): file for file in Path(place).rglob("*") if file.is_file()}
            write_bundle(path, model, files)

    def _chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's content; raise NearfarError in the end where it is not what was exported."""
        sha = hashlib.sha256()
        with self.archive.open(self._info(name, MOST)) as member:
            while chunk := member.read(CHUNK):
                sha.update(chunk)
                yield chunk
        if sha.hexdigest() != self.digests.get(name, ""):
            raise NearfarError(f"{name} in it is not as it was exported (sha256); {COPY}")

    def _json(self, name: str) -> dict[str, Any]:
        info = self._info(name, LARGEST)
        text = self.archive.read(info) if name == MANIFEST else b"".join(self._chunks(name))
        with error_prefix(name):
            return parse_json(text.decode())

    def _info(self, name: str, most: int) -> zipfile.ZipInfo:
        if name not in self.archive.NameToInfo:
            raise NearfarError(f"lacks {name}; {COPY}")
        info = self.archive.getinfo(name)
        if info.file_size > most or info.compress_type not in PACKED or info.flag_bits & 1:
            raise NearfarError(f"{name} in it is too large, encrypted or packed otherwise; {COPY}")
        return info

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the file's name before what is wrong with it."""
        with error_prefix(self.path):
            try:
                yield
            except DAMAGED as error:
                raise NearfarError(f"cut, changed or no file of nearfar export ({error}); {COPY}") from error
            except (KeyError, TypeError, AttributeError) as error:
                raise NearfarError(f"no file of nearfar export ({error}); give one that it made") from error


def _refuse_other_format(about):
    if about["format"] != FORMAT:
        raise NearfarError(
            f"of format {about['format']}, made by nearfar {about['nearfar']}; nearfar {own_version()} reads format "
            f"{FORMAT}: export it again with this one, or score with that one"
        )


def _refuse_outside(path, name):
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise NearfarError(f"{path}: {name!r} in it would lie outside its folder; {COPY}")
