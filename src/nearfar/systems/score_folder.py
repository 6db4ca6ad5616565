"""Score files in the challenge's form, and their truth, as sections: what ``nearfar evaluate`` and ``compare`` read."""

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.challenge.rows import FILES, decoded, row_breaches
from nearfar.data.documents import read_bytes
from nearfar.data.names import parse
from nearfar.errors import NearfarError, error_prefix
from nearfar.systems.evaluation import evaluate
from nearfar.systems.sections import Section, Truth, refuse_mismatch, sections_of
from nearfar.systems.tables import omega_csv

SCORE_FILE = re.compile(r"anomaly_score_(.+)_section_(\d\d)_test\.csv")
LARGEST = 2**24  # bytes of a table; a clip takes some sixty
LABELS = {"normal": "normal", "anomaly": "anomaly", "0": "normal", "1": "anomaly"}
DOMAINS = ("source", "target")


def evaluate_folder(folder: str | Path, truth: str | Path | None = None) -> str:
    """Return the csv text of the table of Ω for the score files in ``folder`` (``folder_sections``)."""
    return omega_csv(evaluate(folder_sections(folder, truth)))


def folder_sections(folder: str | Path, truth: str | Path | None = None) -> list[Section]:
    """Return the sections of the anomaly_score_<machine>_section_<NN>_test.csv files in a folder.

    truth: folder of csv files with file,label,domain rows, one a machine: <machine>.csv or
    ground_truth_<machine>_section_<NN>_test.csv; without it, label and domain are read from the file names.
    decision_result_ files are used where they lie beside. Raises NearfarError for what breaks a rule of the challenge's
    format, and where scores, decisions and truth name different clips.
    """
    for place in (folder, truth):
        if place is not None and not os.path.isdir(place):
            raise NearfarError(f"{place}: no such folder; give the one that holds the csv files")
    sections = []
    for path in sorted(Path(folder).glob("anomaly_score_*.csv")):
        match = SCORE_FILE.fullmatch(path.name)
        if not match:
            raise NearfarError(f"{path}: rename it to anomaly_score_<machine>_section_00_test.csv")
        sections += _file_sections(path, *match.groups(), truth)
    if not sections:
        raise NearfarError(f"{folder}: no anomaly_score_<machine>_section_<NN>_test.csv in it; give the score folder")
    return sections


def _file_sections(path, machine, section, truth):
    scores = _read_values(path, FILES[0], section)
    known = _named(path, scores) if truth is None else _read_truth(_truth_file(truth, machine, section), section)
    decided = path.with_name(path.name.replace(*FILES, 1))
    decisions = None
    if os.path.lexists(decided):
        decisions = _read_values(decided, FILES[1], section)
        refuse_mismatch(decided, decisions, scores, "scores")
        decisions = np.array([decisions[file] for file in scores])
    with error_prefix(path):
        return sections_of(machine, list(scores), np.array(list(scores.values())), known, decisions, both_domains=True)


def _read_values(path: Path, kind: str, section: str) -> dict[str, float]:
    """Return the values of a score or decision file by clip; raises NearfarError for its first breach of the format."""
    rows = {}
    for breach in row_breaches(path, _content(path), kind, section, rows):
        raise NearfarError(breach)
    return {file: float(row.value) for file, row in rows.items()}


def _content(path):
    with error_prefix(path):
        return read_bytes(path, LARGEST)


def _named(path: Path, files: Iterable[str]) -> Truth:
    """Return the truth of clips as their names say."""
    truth = {}
    for file in files:
        name = parse(file, "test")
        if name.label is None:
            raise NearfarError(f"{path}: {file} has no label in its name; give the ground truth with --truth DIR")
        truth[file] = name.section, name.label, name.domain
    return truth


def _truth_file(folder, machine, section):
    """Return the path of a machine's truth; another machine's name may end in this one's, as bath_fan does in fan."""
    pattern = re.compile(rf"(ground_truth_)?{re.escape(machine)}(_section_{section}.*)?\.csv")
    found = [file for file in sorted(Path(folder).glob("*.csv")) if pattern.fullmatch(file.name)]
    if len(found) > 1:
        raise NearfarError(f"{found[0]}: {found[1].name} is the truth of {machine} too; take one out")
    if not found:
        raise NearfarError(f"{folder}: no truth of {machine} in it; put {machine}.csv there, rows of file,label,domain")
    return found[0]


def _read_truth(path: Path, section: str) -> Truth:
    text, faults = decoded(_content(path))
    if text is None:
        raise NearfarError(f"{path}, {faults[0]}")
    truth, lines, reader = {}, {}, csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if not row or (reader.line_num == 1 and row[0] in ("file", "file_name")):
                continue
            if fault := _truth_fault(row, lines):
                raise NearfarError(f"{path}, line {reader.line_num}: {fault}")
            file, label, domain = row
            truth[file], lines[file] = (section, LABELS[label], domain), reader.line_num
    except csv.Error as error:
        raise NearfarError(f"{path}, line {reader.line_num}: not csv ({error}); write it again") from None
    return truth


def _truth_fault(row, lines):
    if len(row) != 3 or row[1] not in LABELS or row[2] not in DOMAINS:
        return "not file,label,domain with normal|anomaly and source|target; mend it"
    return f"{row[0]} stands in line {lines[row[0]]} already; delete one" if row[0] in lines else None
