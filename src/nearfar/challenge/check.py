"""Every rule of the challenge's submission format: ``nearfar validate``, and our own zip before it is put in place."""

import lzma
import math
import re
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from nearfar.challenge import metadata as submission_meta
from nearfar.challenge.zips import unsafe
from nearfar.data import dataset
from nearfar.data.names import parse
from nearfar.errors import NearfarError, error_prefix

FILES = ("anomaly_score", "decision_result")
SECTION = "00"
LABEL = re.compile(r"([A-Za-z][A-Za-z-]*_[A-Za-z0-9-]+_task2)_([1-4])")
LABEL_LIKE = "<Surname>_<Affiliation>_task2_<1 to 4>"
TABLE = re.compile(rf"({'|'.join(FILES)})_([^/]+)_section_{SECTION}_test\.csv")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LARGEST = 64 * 2**20  # bytes of an entry; the scores of a machine take some kilobytes
SYSTEMS = 4
UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)


def check(path, clips=None, count=None):
    """Return the breaches of the format, a line of text each, and one line of counts, of a zip or unpacked folder.

    clips: root of a data set, whose test clips must all be there; count: number of clips each machine must have.
    A breach names file and line. Raises NearfarError where there is nothing to check.
    """
    files, breaches = _zip_files(path) if Path(path).is_file() else _folder_files(path)
    labels = sorted({name.split("/")[0] for name in files if "/" in name})
    if not labels:
        raise NearfarError(
            f"{path}: no folder {LABEL_LIKE} in it; give the zip or the folder with the systems' folders"
        )
    breaches += _layout(files, labels)
    tables = {}
    for name, data in files.items():
        label, _, file = name.partition("/")
        if match := TABLE.fullmatch(file):
            tables[match[2], label, match[1]] = name, _table(name, data, match[1], breaches)
        elif file == f"{label}.meta.yaml":
            breaches += _meta(name, data, label)
    breaches += _machines(tables, labels)
    breaches += _clips(tables, _expected(clips, tables, breaches), count)
    machines = sorted({machine for machine, *_ in tables})
    rows = sum(len(rows) for (_, _, kind), (_, rows) in tables.items() if kind == FILES[0])
    counts = f"{path}: {len(labels)} systems, {len(machines)} machines, {rows} scores, no breach"
    return ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in breach) for breach in breaches], counts


def _zip_files(path):
    """Return a dict from name to bytes of the entries that can be read, and the breaches of the others."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            files, breaches = {}, []
            for entry in entries:
                name = entry.filename
                if fault := _fault(entry) or ("stands in the zip twice; keep one" if name in files else None):
                    breaches.append(f"{name}: {fault}")
                elif not entry.is_dir():
                    try:
                        files[name] = archive.read(entry)
                    except UNREADABLE as error:
                        breaches.append(f"{name}: cannot be unpacked ({error}); make the zip again")
            return files, breaches
    except UNREADABLE as error:
        raise NearfarError(
            f"{path}: no readable zip ({error}); give a zip or the folder with the systems' folders"
        ) from None


def _fault(entry):
    """Return why a zip entry is not to be unpacked, or None."""
    if fault := unsafe(entry):
        return f"{fault}; put the file itself there, as <label>/<file>"
    if entry.flag_bits & 1:
        return "is encrypted; make the zip without a password"
    if entry.file_size > LARGEST:
        return f"holds more than {LARGEST // 2**20} MB; take it out"
    return None


def _folder_files(path):
    if not Path(path).is_dir():
        raise NearfarError(f"{path}: no such file or folder; give a zip or the folder with the systems' folders")
    files, breaches = {}, []
    for file in sorted(Path(path).rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and file.stat().st_size > LARGEST:
            breaches.append(f"{name}: holds more than {LARGEST // 2**20} MB; take it out")
        elif file.is_file():
            files[name] = file.read_bytes()
    return files, breaches


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


def _text(name, data, breaches):
    """Return the text of a file, or None after a breach."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        breaches.append(f"{name}, line {data[: error.start].count(10) + 1}: not UTF-8; save it as that")
        return None
    if text.startswith("\ufeff"):
        breaches.append(f"{name}, line 1: begins with a byte order mark; save it as UTF-8 without one")
    return text.removeprefix("\ufeff")


def _meta(name, data, label):
    found = []
    text = _text(name, data, found)
    if text is not None:
        found += [f"{name}, line {line}: {what}" for line, what in submission_meta.breaches(text, label)]
    return found


def _table(name, data, kind, breaches):
    """Return a dict from clip to line of a csv file; append its breaches to the list."""
    text, rows = _text(name, data, breaches), {}
    lines = (text or "").split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, 1):
        file, *values = line.removesuffix("\r").split(",")
        if fault := _row_fault(number, file, values, kind, rows):
            breaches.append(f"{name}, line {number}: {fault}")
        if _is_clip(file):
            rows.setdefault(file, number)
    if text is not None and not rows:
        breaches.append(f"{name}: no clip in it; write one row a test clip")
    return rows


def _row_fault(number, file, values, kind, rows):
    """Return what is wrong with a row, or None; rows: dict from clip to line of those before."""
    if not file and not values:
        return "empty; delete it"
    if len(values) != 1:
        return f"{len(values) + 1} columns; write two, file name and value"
    if number == 1 and not _is_clip(file) and not NUMBER.fullmatch(values[0]):
        return "a header; delete it"
    if not _is_clip(file):
        return f"{file[:80]!r} is no test clip of section {SECTION}; write section_{SECTION}_0000.wav or the like"
    if file in rows:
        return f"{file} stands in line {rows[file]} already; delete one"
    return _value_fault(values[0], kind)


def _value_fault(value, kind):
    if kind == "decision_result":
        return None if value in ("0", "1") else f"decision {value[:80]!r}; write 0 or 1"
    if NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return None
    return f"score {value[:80]!r}; write a finite number"


def _is_clip(file):
    try:
        return parse(file, "test").section == SECTION
    except NearfarError:
        return False


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


def _expected(root, tables, breaches):
    """Return a dict from machine to the names of its test clips below a data set's root, empty without one."""
    if root is None:
        return {}
    with error_prefix("--clips"):
        folders = dataset.folders(root)
    expected = {m: {f for split, f in dataset.wav_files(at) if split == "test"} for m, at in folders.items()}
    machines = {machine for machine, *_ in tables}
    for machine in sorted(machines - expected.keys()):
        breaches.append(f"{machine}: no such machine in {root}; known: {', '.join(expected)}")
    for machine in sorted(expected.keys() - machines):
        if expected[machine] and not dataset.labelled(folders[machine]):
            breaches.append(f"{machine}: not scored, though {root} has test clips of it to be judged; add its files")
    return expected


def _clips(tables, expected, count):
    """Yield where the clips of a file differ from those expected, or from what most files of the machine have."""
    for machine in sorted({machine for machine, *_ in tables}):
        parts = [part for key, part in sorted(tables.items()) if key[0] == machine and part[1]]
        usual = Counter(frozenset(rows) for _, rows in parts).most_common(1)
        wanted = expected[machine] if machine in expected else usual[0][0] if usual else set()
        place = "the data" if machine in expected else f"most files of {machine}"
        for name, rows in parts:
            for file in sorted(rows.keys() - wanted):
                yield f"{name}, line {rows[file]}: {file} is not among the clips of {place}; delete it"
            for file in sorted(wanted - rows.keys()):
                yield f"{name}: lacks {file} of {place}; add its row"
            if count is not None and len(rows) != count:
                yield f"{name}: {len(rows)} clips, {count} are expected; score each test clip once"
