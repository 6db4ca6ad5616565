"""Every rule of the challenge's submission format: ``nearfar validate``, and our own zip before it is put in place."""

import re
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from nearfar.challenge import metadata as submission_meta
from nearfar.challenge.package import Package
from nearfar.challenge.rows import FILES, decoded, row_breaches
from nearfar.data import dataset
from nearfar.errors import NearfarError, error_prefix, one_line

SECTION = "00"
LABEL = re.compile(r"([A-Za-z][A-Za-z-]*_[A-Za-z0-9-]+_task2)_([1-4])")
LABEL_LIKE = "<Surname>_<Affiliation>_task2_<1 to 4>"
TABLE = re.compile(rf"({'|'.join(FILES)})_([^/]+)_section_{SECTION}_test\.csv")
SYSTEMS = 4
LISTED, COUNTED = 100, 10_000  # breaches that are printed, and those after them that are counted


class Report(NamedTuple):
    """The first breaches of the format, a line of text each, how many there are, and one line of counts."""

    breaches: list[str]
    total: int
    counts: str


def check(path: str | Path, clips: str | Path | None = None, count: int | None = None) -> Report:
    """Return the Report on a zip or unpacked folder.

    clips: root of a data set, whose test clips must all be there; count: number of clips each machine must have.
    A breach names file and line. Raises NearfarError where there is nothing to check, or more than a submission can
    hold: no input takes more than 200 MB of memory or some seconds.
    """
    package = Package(path)
    files = package.files
    labels = sorted({name.split("/")[0] for name in files if "/" in name})
    if not labels and not package.faults:
        raise NearfarError(
            f"{path}: no folder {LABEL_LIKE} in it; give the zip or the folder with the systems' folders"
        )
    tables = {}
    parts = (_within(files, tables), _machines(tables, labels), _clips(tables, _expected(clips), clips, count))
    found = chain(package.faults, _layout(files, labels), *parts)  # lazy: each part reads the tables of those before it
    breaches = [one_line(breach, 400) for breach in islice(found, LISTED)]
    total = len(breaches) + sum(1 for _ in islice(found, COUNTED))
    if total > LISTED:
        breaches.append(f"and {'at least ' * (total == LISTED + COUNTED)}{total - LISTED:,} more")
    machines = {machine for machine, *_ in tables}
    rows = sum(len(rows) for (_, _, kind), (_, rows) in tables.items() if kind == FILES[0])
    return Report(breaches, total, f"{path}: {len(labels)} systems, {len(machines)} machines, {rows} scores, no breach")


def _within(files, tables):
    """Yield the breaches within the files; put the rows of each table into ``tables``."""
    for name, data in files.items():
        label, _, file = name.partition("/")
        if match := TABLE.fullmatch(file):
            rows = {}
            tables[match[2], label, match[1]] = name, rows
            yield from row_breaches(name, data, match[1], SECTION, rows)
        elif file == f"{label}.meta.yaml":
            yield from _meta(name, data, label)


def _layout(files, labels):
    """Yield the breaches of names: folders, metadata, files that do not belong there."""
    stems = Counter(match[1] for match in map(LABEL.fullmatch, labels) if match)
    for label in labels:
        if not (match := LABEL.fullmatch(label)):
            yield f"{label}/: not a system's folder; name it {LABEL_LIKE} or take it out"
        elif match[1] != stems.most_common(1)[0][0]:
            yield f"{label}/: another submission than {stems.most_common(1)[0][0]}; let the numbers alone differ"
        if f"{label}/{label}.meta.yaml" not in files:
            yield f"{label}/{label}.meta.yaml: missing; add it"
    if len(labels) > SYSTEMS:
        yield f"{labels[SYSTEMS]}/: {len(labels)} systems, {SYSTEMS} are allowed; take some out"
    for name, data in files.items():
        label, _, file = name.partition("/")
        if not file and not (name.endswith(".pdf") and data.startswith(b"%PDF")):
            yield f"{name}: neither in a system's folder nor a report in pdf; take it out"
        elif file and file != f"{label}.meta.yaml" and not TABLE.fullmatch(file):
            yield (
                f"{name}: not a file of the format; name it {'|'.join(FILES)}_<machine>_section_{SECTION}_test.csv, "
                f"or take it out"
            )


def _meta(name, data, label):
    text, found = decoded(data)
    for breach in chain(found, () if text is None else submission_meta.breaches(text, label)):
        yield f"{name}, {breach}"


def _machines(tables, labels):
    """Yield the files that a system lacks: both kinds for every machine that any system has."""
    machines = sorted({machine for machine, *_ in tables})
    for label in labels:
        if not any(label == owner for _, owner, _ in tables):
            yield f"{label}/: no scores in it; add {FILES[0]}_<machine>_section_{SECTION}_test.csv and its decisions"
            continue
        for machine in machines:
            for kind in FILES:
                if (machine, label, kind) not in tables:
                    yield f"{label}/{kind}_{machine}_section_{SECTION}_test.csv: missing; add it"


def _expected(root):
    """Return a dict from machine to its folder below a data set's root, empty without one."""
    if root is None:
        return {}
    with error_prefix("--clips"):
        return dataset.folders(root)


def _clips(tables, folders, root, count):
    """Yield where the machines are not those of the data set ``root``, and where the clips of a file differ.

    They differ from those of the machine's folder or, where there is none, from what most files of the machine have.
    """
    machines = sorted({machine for machine, *_ in tables})
    expected = {machine: set(dataset.wav_files(folder, "test")) for machine, folder in folders.items()}
    for machine in machines if folders else ():
        if machine not in folders:
            yield f"{machine}: no such machine in {root}; known: {', '.join(folders)}"
    for machine in sorted(folders.keys() - machines):
        if expected[machine] and not dataset.labelled(folders[machine]):
            yield f"{machine}: not scored, though {root} has test clips of it to be judged; add its files"
    for machine in machines:
        parts = [part for key, part in sorted(tables.items()) if key[0] == machine and part[1]]
        usual = Counter(frozenset(rows) for _, rows in parts).most_common(1)
        wanted = expected[machine] if machine in expected else usual[0][0] if usual else set()
        place = "the data" if machine in expected else f"most files of {machine}"
        for name, rows in parts:
            yield from _differences(name, rows, wanted, place)
            if count is not None and len(rows) != count:
                yield f"{name}: {len(rows)} clips, {count} are expected; score each test clip once"


def _differences(name, rows, wanted, place):
    for file in sorted(rows.keys() - wanted):
        yield f"{name}, line {rows[file].line}: {file} is not among the clips of {place}; delete it"
    for file in sorted(wanted - rows.keys()):
        yield f"{name}: lacks {file} of {place}; add its row"
