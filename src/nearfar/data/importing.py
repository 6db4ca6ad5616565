"""From a folder of recordings to a clip table."""

import csv
import heapq
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nearfar.data.dataset import AUDIO, NO_MACHINES
from nearfar.data.layouts import Clip, clip_of, machines_of
from nearfar.data.splits import REMEDY, settle
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_text

UNREADABLE = {".aac", ".m4a", ".wma"}  # audio that libsndfile does not decode
ALWAYS = ("path", "machine", "split")
WHERE_SEEN = ("domain", "label", "attribute", "section")  # columns that are written where a clip has a value
UNPRINTABLE = "left out, since its name holds control characters or is not UTF-8; rename it"

Machines = Mapping[str, Sequence[Clip]]  # a machine's name to its clips
Fault = tuple[str, str]  # where, and what


@dataclass
class Found:
    """What lies below a folder: recordings as (folder, file), the number of other files by kind, and faults."""

    recordings: list[tuple[str, str]] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def import_folder(folder: str, out: str, force: bool = False) -> tuple[Machines, list[Fault], Counter[str]]:
    """Write the clip table of a folder to ``out`` and return what nearfar.data.findings.report speaks of.

    That is the clips by machine, (place, note) pairs, and the number of files passed over by kind. Raises NearfarError
    where there is no such folder, no recording in it, or nothing that tells normal ones from those to be judged, and
    for a table that is there already, unless ``force``.
    """
    refuse_occupied(out, force)
    found = look(folder)
    if not found.recordings:
        raise NearfarError(f"{folder}: {_nothing_in(found)}")
    machines, notes = understand(found.recordings, os.path.basename(os.path.abspath(folder)) or "machine")
    if not machines:
        count = len(found.recordings)
        raise NearfarError(f"{folder}: {count} recordings, and nothing says which of them are normal; {REMEDY}")
    write_text(out, table_text(machines, path_between(out, folder)))
    return machines, found.faults + notes, found.passed


def refuse_occupied(out: str, force: bool) -> None:
    """Raise NearfarError where a folder, or without ``force`` a file, bears the name of the table to be written."""
    if os.path.isdir(out):
        raise NearfarError(f"{out}: is a folder; name a file in it, such as {os.path.join(out, 'clips.csv')}")
    if os.path.lexists(out) and not force:
        raise NearfarError(f"{out}: is there already; choose another name, or replace it with --force")


def look(root: str) -> Found:
    """Return what lies below a folder, at any depth. No file is opened.

    A linked folder is gone into once, and only after all others, unless it holds the folder looked at. Hidden files
    and what is no audio are counted. Raises NearfarError where the folder is none or may not be listed.
    """
    if not os.path.isdir(root):
        there = os.path.lexists(root)
        raise NearfarError(f"{root}: {'no folder' if there else 'no such folder'}; give the folder of the recordings")
    found, seen, folders, links = Found(), _above(root), [""], []
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)
        place = os.path.join(root, folder)
        try:
            if (identity := _identity(place)) in seen:
                continue
            seen.add(identity)
            with os.scandir(place) as entries:
                inner = _sort_out(found, folder, entries)
        except OSError as error:
            if not folder:
                raise NearfarError(f"{root}: cannot be listed ({error.strerror.lower()}); give access to it") from None
            found.faults.append((folder, f"left out, since it cannot be listed ({error.strerror.lower()})"))
            continue
        folders += [path for path, linked in inner if not linked]
        for path in (path for path, linked in inner if linked):
            heapq.heappush(links, path)
    found.recordings.sort()
    found.faults.sort()
    return found


def _identity(folder):
    about = os.stat(folder)
    return about.st_dev, about.st_ino


def _above(root):
    """Return the identities of all folders above one: a link to one of them would lead back into it."""
    path, found = os.path.realpath(root), set()
    while (above := os.path.dirname(path)) != path:
        path = above
        found.add(_identity(path))
    return found


def _sort_out(found: Found, folder: str, entries: Iterator[os.DirEntry]) -> list[tuple[str, bool]]:
    """Put the files of a folder where they belong; return its folders, and whether each is a link."""
    inner = []
    for entry in entries:
        path, ending = os.path.join(folder, entry.name), os.path.splitext(entry.name)[1].lower()
        hidden, kind = entry.name.startswith("."), _kind(entry)
        if hidden or entry.name in NO_MACHINES:
            found.passed["hidden" if hidden else entry.name] += 1
        elif kind != "folder" and (ending not in AUDIO or ending in UNREADABLE):
            found.passed[ending or "without ending"] += 1
        elif not entry.name.isprintable():  # a surrogate, which stands for a byte that is not UTF-8, is not either
            found.faults.append((path, UNPRINTABLE))
        elif kind == "folder":
            inner.append((path, entry.is_symlink()))
        elif kind == "file":
            found.recordings.append((folder, entry.name))
        else:
            found.faults.append((path, "left out, since it is no regular file"))
    return inner


def _kind(entry):
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link that leads to itself, or where one may not look
        return ""


def _nothing_in(found):
    for place, fault in found.faults[:1]:
        return f"no recording that can be read in it ({place}: {fault})"
    if unreadable := sorted(UNREADABLE & found.passed.keys()):
        return f"no recording in it but {', '.join(unreadable)} files, which cannot be read; convert them to flac"
    return "no recording in it; give a folder of wav, flac, ogg, mp3 or aiff files"


def understand(recordings: Sequence[tuple[str, str]], root: str) -> tuple[Machines, list[Fault]]:
    """Return the clips by machine of recordings (folder, file), and (place, note) pairs on what was decided.

    ``root`` names the folder that they are in. A machine without a clip of use is in the notes alone.
    """
    clips, notes, machines = [], [], {}
    for folder, file in recordings:
        try:
            clips.append(clip_of(folder, file))
        except NearfarError as error:
            notes.append((os.path.join(folder, file), f"left out: {str(error).partition(': ')[2]}"))
    for machine, seen in machines_of(clips, root).items():
        of_use, decided = settle(seen)
        places = sorted({clip.place or "." for clip in seen})
        together = [f"its clips are in several folders: {', '.join(places)}"] if len(places) > 1 else []
        notes += [(machine, note) for note in together + decided]
        machines |= {machine: of_use} if of_use else {}
    return machines, notes


def path_between(table: str, folder: str) -> str:
    """Return what a path below ``folder`` needs in front to be relative to the folder of ``table``.

    Links are resolved, since ".." leads out of where a link points to. Raises NearfarError for a path that UTF-8
    cannot hold.
    """
    path = os.path.relpath(os.path.realpath(folder), os.path.realpath(os.path.dirname(table)))
    if not path.isprintable():
        raise NearfarError(f"{path}: holds control characters or is not UTF-8; rename the folder")
    return "" if path == os.curdir else f"{path}/"


def table_text(machines: Machines, prefix: str) -> str:
    """Return the clip table as csv, sorted by path, each after ``prefix``.

    What is empty for all clips has no column, nor has a label that no test clip has.
    """
    rows = sorted((prefix + clip.path, machine, clip) for machine, clips in machines.items() for clip in clips)
    columns = [name for name in WHERE_SEEN if any(getattr(clip, name) for *_, clip in rows if _counts(clip, name))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ALWAYS, *columns])
    for path, machine, clip in rows:
        writer.writerow([path, machine, clip.split, *(getattr(clip, name) for name in columns)])
    return text.getvalue()


def _counts(clip, column):
    return column != "label" or clip.split == "test"
