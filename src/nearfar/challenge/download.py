"""Archives of a Zenodo record: fetched once, whole, and equal to what the record says of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nearfar.data.documents import LARGEST, parse_json, read_bytes
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_text, writing

ZENODO = "https://zenodo.org"
TIMEOUT = (10, 60)  # s, to connect and between two pieces
PIECE = 1 << 16  # bytes; what a cut transfer loses at most
LONGEST = 2**40  # bytes of an archive


class Listed(NamedTuple):
    """What a record says of one of its files: size in bytes, checksum as ``md5:<digits>``, address."""

    size: int
    checksum: str
    url: str


def fetch_record(zenodo: str, record: int | str, path: str | Path) -> None:
    """Write the metadata of a record, the JSON text of Zenodo's REST interface, to ``path``.

    zenodo: address of the server. Raises NearfarError where it cannot be reached or answers something else.
    """
    import requests

    url = f"{zenodo}/api/records/{record}"
    content = bytearray()
    with reaching(url, path), requests.get(url, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        for piece in answer.iter_content(PIECE):
            content += piece
            if len(content) > LARGEST:
                raise NearfarError(f"{url}: answers more than {LARGEST:,} bytes; mend data.sets")
    _files(content, url)
    write_text(path, content.decode("utf-8"))


def fetch_archive(record: str | Path, path: str | Path) -> None:
    """Fetch the file that ``path`` is named after, as the record's metadata file ``record`` lists it.

    What came of a transfer that was cut stays beside it as ``.part``, and the next one continues there. The archive
    takes its name when size and checksum are the record's. Raises NearfarError where the record lacks it, the server
    cannot be reached, the transfer is cut or differs, or the disk is full.
    """
    import pooch

    path = Path(path)
    wanted = listed(record, path.name)
    pooch.get_logger().setLevel("WARNING")
    try:
        with writing(path), reaching(wanted.url, path):
            downloader = resuming(path.with_name(f".{path.name}.part"), wanted.size)
            pooch.retrieve(wanted.url, wanted.checksum, path.name, path.parent, downloader=downloader)
    except ValueError as error:  # pooch's word for another checksum; it has deleted the transfer
        raise NearfarError(
            f"{path}: what came has not the checksum {wanted.checksum} of the record and was deleted; run the target "
            f"download again"
        ) from error


def listed(record: str | Path, name: str) -> Listed:
    """Return the Listed facts of file ``name``; raise NearfarError where the metadata file lacks it."""
    with error_prefix(record):
        content = read_bytes(record)
    files = _files(content, record)
    if name not in files:
        raise NearfarError(
            f"{record}: lists no {name} but {', '.join(sorted(files))}; mend data.sets, or delete {record} to fetch "
            f"the list again"
        )
    return files[name]


def resuming(part: Path, size: int) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch that collects ``size`` bytes in ``part`` and continues what it finds there."""

    def download(url: str, output: str, _: object) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > size:  # of another version of the archive
            have = 0
        if have < size:
            cut = _transfer(url, part, have, size)
            have = part.stat().st_size
            if have != size:
                raise NearfarError(
                    f"{part}: {have:,} of {size:,} bytes came before the transfer ended; run the target download "
                    f"again, it continues there"
                ) from cut
        os.replace(part, output)

    return download


def _transfer(url, part, have, size):
    """Append the bytes from ``have`` on to ``part``, or write all where the server gives all; return what cut it."""
    import requests

    from nearfar.jobs.progress import bar

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        continues = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with (
            open(part, "ab" if continues else "wb") as file,
            bar(None, part.name.strip("."), "B", total=size, initial=have if continues else 0) as done,
        ):
            try:
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
                    done.update(len(piece))
                    if file.tell() > size:
                        break
            except requests.RequestException as error:
                return error


@contextmanager
def reaching(url: str, path: str | Path) -> Iterator[None]:
    """Name ``url``, and ``path`` as the way round it, where a request in the block fails."""
    import requests

    by_hand = f"or put {path} there by hand"
    try:
        yield
    except requests.HTTPError as error:
        said = f"{error.response.status_code} {error.response.reason}"
        raise NearfarError(f"{url}: the server answers {said}; try again later, {by_hand}") from error
    except requests.RequestException as error:
        reason = type(error).__name__
        raise NearfarError(f"{url}: not to be reached ({reason}); check the network, {by_hand}") from error


def _files(content: bytes, place: str | Path) -> dict[str, Listed]:
    """Return a dict from name to Listed; raise NearfarError where the content is no metadata of a record."""
    remedy = "mend data.sets, or delete the file where it is one"
    try:
        with error_prefix(place):
            return dict(map(_listed, parse_json(content.decode("utf-8"))["files"]))
    except (ValueError, KeyError, TypeError) as error:
        reason = type(error).__name__
        raise NearfarError(f"{place}: no list of files with size, checksum and links ({reason}); {remedy}") from error


def _listed(entry):
    name, checksum, url = entry["key"], entry["checksum"], entry["links"]["self"]
    if not all(isinstance(text, str) for text in (name, checksum, url)) or not checksum.startswith("md5:"):
        raise ValueError(checksum)
    if type(entry["size"]) is not int or not 0 <= entry["size"] <= LONGEST:
        raise ValueError(entry["size"])
    return name, Listed(entry["size"], checksum, url)
