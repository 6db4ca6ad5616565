"""The table of clips that people write, or that a folder stands for. Runs while the workflow is parsed."""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nearfar.data.dataset import LONGEST_NAME
from nearfar.data.documents import read_bytes
from nearfar.data.names import HIDDEN
from nearfar.errors import NearfarError, error_prefix, one_line
from nearfar.jobs.digests import digests, together

COLUMNS = ("path", "machine", "split", "domain", "label", "attribute", "section")
WORDS = {"split": ("train", "test"), "domain": ("source", "target"), "label": ("normal", "anomaly")}
REMEDY = "give every row train (normal recordings to learn from) or test (those to be judged)"
LARGEST = 1 << 28  # bytes of a table: a million rows


class Entry(NamedTuple):
    """A recording of a table: ``recording`` is its path as written there, ``path`` where it lies from here."""

    recording: str
    path: str
    machine: str
    split: str
    domain: str | None = None
    label: str | None = None
    attribute: str = HIDDEN
    section: str = "00"


Entries = Mapping[str, list[Entry]]  # by machine, sorted by recording


@cache
def read_entries(table: str | Path) -> Entries:
    """Return the recordings of a table by machine: csv with a header, of commas, semicolons or tabs.

    Paths are relative to the table. No machine: the name of the recording's folder; no domain: of a training recording,
    source; no attribute: hidden. Raises NearfarError, one line of all that is wrong, for a table without path or split,
    an empty one, an unknown column or word, a recording that stands there twice, and an attribute a recording.
    """
    with error_prefix(table):
        rows = list(_rows(_text(table)))
        if not rows:
            raise NearfarError("holds no recording; write a row for each")
        faults = [f"line {number}: {fault}" for number, row in rows for fault in _faults(row)]
        if not faults:
            entries = [_entry(row, Path(table).parent) for _, row in rows]
            faults = _twice(entries) + _no_classes(entries)
        if faults:
            more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
            raise NearfarError("; ".join(faults[:5]) + more)
    return by_machine(entries)


def entries_of(data: Mapping[str, Any]) -> Entries:
    """Return the recordings by machine that the configuration's ``data`` asks for: a table's, or a folder's."""
    return read_entries(data["clips"]) if data["clips"] is not None else folder_entries(data["root"])


@cache
def folder_entries(root: str) -> Entries:
    """Return the recordings below a folder by machine, as nearfar import understands them.

    Raises NearfarError where nothing tells normal recordings from those to be judged.
    """
    from nearfar.data.importing import look, understand  # with numpy and pyarrow: only where it is asked for

    machines, _ = understand(look(root).recordings, os.path.basename(os.path.abspath(root)))
    if not machines:
        raise NearfarError(f"{root}: no recordings in normal/ and new/, or train/ and test/; see nearfar import {root}")
    rows = [(machine, asdict(clip)) for machine, clips in machines.items() for clip in clips]
    return by_machine(_entry(row | {"machine": machine}, root) for machine, row in rows)


def by_machine(entries: Iterable[Entry]) -> Entries:
    """Return entries by machine, sorted by machine and recording."""
    found = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.machine, entry.recording)):
        found[entry.machine].append(entry)
    return dict(found)


def of_split(entries: Iterable[Entry], split: str) -> list[Entry]:
    """Return the entries of a split."""
    return [entry for entry in entries if entry.split == split]


def entries_fingerprint(entries: Iterable[Entry], split: str) -> str:
    """Return a text that changes when a recording of a split is added, removed or replaced, or what is said of it."""
    chosen = of_split(entries, split)
    contents = digests([entry.path for entry in chosen])
    return together(f"{entry} {content}" for entry, content in zip(chosen, contents, strict=True))[:16]


def _text(table):
    try:
        return read_bytes(table, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NearfarError(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, dict from column to text) of a table's rows; empty lines are passed over."""
    header = text.split("\n", 1)[0]
    lines = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        names = [name.strip().lower() for name in next(lines, [])]
        _check_header(names)
        for cells in lines:
            if any(cell.strip() for cell in cells):
                cells = [cell.strip() for cell in cells] + [""] * (len(names) - len(cells))
                yield lines.line_num, dict(zip(names, cells, strict=True))
    except (csv.Error, ValueError) as error:
        where = f"line {lines.line_num}"
        raise NearfarError(f"{where}: no row of the table ({error}); quote texts that hold commas") from None


def _check_header(names):
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len(set(names)) < len(names):
        what = f"unknown column {unknown[0]!r}" if unknown else "a column stands there twice"
        raise NearfarError(f"line 1: {what}; name columns {', '.join(COLUMNS)}, path and split at least")
    for name, remedy in (("path", "give each recording's, relative to the table"), ("split", REMEDY)):
        if name not in names:
            raise NearfarError(f"line 1: no column {name}; {remedy}")


def _faults(row):
    """Yield what is wrong with a row by itself."""
    if not row["path"]:
        yield "no path"
    if not row["path"].isprintable():
        yield f"{row['path']!r} holds control characters; rename the file"
    for name, words in WORDS.items():
        value = row.get(name, "")
        if value not in words and (value or name == "split"):
            yield f"{name} {value!r} is none of {', '.join(words)}" if value else f"no split; {REMEDY}"
    if (row["split"], row.get("label")) == ("train", "anomaly"):
        yield "an anomaly to learn from; normal recordings alone are"
    machine = row.get("machine", "")
    if set(machine) & set("{}/") or not machine.isprintable() or len(os.fsencode(machine)) > LONGEST_NAME:
        yield f"machine {machine!r} holds braces, a slash or control characters, or is too long; name it otherwise"


def _entry(row, folder):
    path = os.path.normpath(os.path.join(folder, row["path"]))
    machine = row.get("machine") or one_line(os.path.basename(os.path.dirname(os.path.abspath(path))) or "machine")
    domain = row.get("domain") or ("source" if row["split"] == "train" else None)
    return Entry(
        row["path"],
        path,
        machine,
        row["split"],
        domain,
        row.get("label") or ("normal" if row["split"] == "train" else None),
        row.get("attribute") or HIDDEN,
        row.get("section") or "00",
    )


def _twice(entries):
    times = Counter(entry.path for entry in entries)
    more = {path: count for path, count in times.items() if count > 1}
    return [f"{path} stands there {count} times; give each recording one row" for path, count in more.items()]


def _no_classes(entries):
    """Return a fault for each machine whose training recordings all have another attribute: no class has two."""
    faults = []
    for machine, own in by_machine(of_split(entries, "train")).items():
        values = [entry.attribute for entry in own if entry.attribute != HIDDEN]
        if len(values) > 2 and len(set(values)) == len(values) == len(own):
            faults.append(f"{machine}: as many attributes as training recordings; leave the column out")
    return faults
