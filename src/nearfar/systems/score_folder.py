"""Score files in the challenge's form, and their truth, as sections: what ``nearfar evaluate`` and ``compare`` read."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.data.names import parse
from nearfar.errors import NearfarError, error_prefix
from nearfar.systems.sections import Section, Truth, refuse_mismatch, sections_of

SCORE_FILE = re.compile(r"anomaly_score_(.+)_section_(\d\d)_test\.csv")


def folder_sections(folder: str | Path, truth: str | Path | None = None) -> list[Section]:
    """Return the sections of the anomaly_score_<machine>_section_<NN>_test.csv files in a folder.

    truth: folder of csv files with file,label,domain rows, one a machine, whose name contains the machine's; without
    it, label and domain are read from the file names. decision_result_ files are used where they lie beside.
    Raises NearfarError for what is not such a file, and where scores, decisions and truth name different clips.
    """
    sections = []
    for path in sorted(Path(folder).glob("anomaly_score_*.csv")):
        match = SCORE_FILE.fullmatch(path.name)
        if not match:
            raise NearfarError(f"{path}: rename it to anomaly_score_<machine>_section_00_test.csv")
        scores = _read_pairs(path)
        decided = path.with_name(path.name.replace("anomaly_score", "decision_result"))
        decisions = _read_pairs(decided) if decided.exists() else None
        known = _truth(path, match, scores, truth)
        if decisions is not None:
            refuse_mismatch(decided, decisions, scores)
            decisions = np.array([decisions[file] for file in scores])
        sections += sections_of(match[1], list(scores), np.array(list(scores.values())), known, decisions)
    if not sections:
        raise NearfarError(f"{folder}: no anomaly_score_<machine>_section_<NN>_test.csv in it; give the score folder")
    return sections


def _truth(path: Path, match: re.Match, files: Iterable[str], truth: str | Path | None) -> Truth:
    if truth is None:
        return {file: _facts(path, file, match[2]) for file in files}
    machine, section = match.groups()
    pattern = re.compile(rf"(.*_)?{re.escape(machine)}(_section_{section}.*)?\.csv")
    found = [file for file in sorted(Path(truth).glob("*.csv")) if pattern.fullmatch(file.name)]
    if len(found) != 1:
        raise NearfarError(
            f"{truth}: {len(found)} csv files for {machine}; put one {machine}.csv with file,label,domain"
        )
    return _read_truth(found[0], section)


def _facts(path, file, section):
    """Return (section, label, domain) of a clip as its name says."""
    with error_prefix(path):
        name = parse(file, "test")
    if name.label is None:
        raise NearfarError(f"{path}: {file} has no label in its name; give the ground truth with --truth DIR")
    if name.section != section:
        raise NearfarError(f"{path}: {file} is of section {name.section}; put it in that section's file")
    return section, name.label, name.domain


def _read_truth(path, section):
    labels = {"normal": "normal", "anomaly": "anomaly", "0": "normal", "1": "anomaly"}
    known = {}
    for number, row in enumerate(_rows(path), 1):
        if number == 1 and row[0] in ("file", "file_name"):
            continue
        if len(row) != 3 or row[1] not in labels or row[2] not in ("source", "target"):
            raise NearfarError(f"{path}, line {number}: not file,label,domain with normal|anomaly and source|target")
        known[row[0]] = (section, labels[row[1]], row[2])
    return known


def _read_pairs(path):
    """Return the (file, number) rows of a score or decision file as a dict."""
    pairs = {}
    for number, row in enumerate(_rows(path), 1):
        try:
            file, value = row
            value = float(value)
        except ValueError:
            raise NearfarError(f"{path}, line {number}: not file,number; write it again") from None
        if file in pairs:
            raise NearfarError(f"{path}, line {number}: {file} stands there twice; remove one")
        if not np.isfinite(value):
            raise NearfarError(f"{path}, line {number}: the score of {file} is not finite; compute it again")
        pairs[file] = value
    return pairs


def _rows(path):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error):
        raise NearfarError(f"{path}: not a csv file in UTF-8; save it as one") from None
