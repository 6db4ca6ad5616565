"""The table of Ω: from scored clips to eval.csv and to what a person reads."""

import csv
import re
import sys
from pathlib import Path

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.names import parse
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import read_table, write_text
from nearfar.systems.metrics import harmonic_mean, section_metrics
from nearfar.systems.tables import COLUMNS, csv_text

OFFICIAL = ("auc_source", "auc_target", "pauc")
OWN = ("auc_source_own", "auc_target_own", "pauc")
SCORE_FILE = re.compile(r"anomaly_score_(.+)_section_(\d\d)_test\.csv")


def evaluate(sections):
    """Return the rows of the table, fractions: one a section, and a last one, "all", with the harmonic means.

    sections: dicts with machine, section, scores (clips,), file, label and domain (clips,) of text, and decisions
    (clips,) or None. Ω of "all" is the harmonic mean over the three values of every section. Raises NearfarError
    where a section lacks one of the four conditions.
    """
    rows = []
    for part in sections:
        anomalous, target = part["label"] == "anomaly", part["domain"] == "target"
        _refuse_missing(part, anomalous, target)
        metrics = section_metrics(part["scores"], anomalous, target, part["decisions"])
        rows.append({"machine": part["machine"], "section": part["section"]} | metrics)
    everywhere = [key for key in COLUMNS[2:] if all(key in row for row in rows)]
    mean = {key: harmonic_mean([row[key] for row in rows]) for key in everywhere}
    mean["omega"] = harmonic_mean([row[key] for row in rows for key in OFFICIAL])
    mean["omega_own"] = harmonic_mean([row[key] for row in rows for key in OWN])
    return [*rows, {"machine": "all", "section": ""} | mean]


def as_csv(rows):
    """Return the rows as csv text, percent with two decimals."""
    return csv_text(COLUMNS, rows)


def sections_of(machine, files, scores, truth, decisions=None):
    """Yield the sections of one machine for ``evaluate``, clips aligned by file name.

    truth: dict from file name to (section, label, domain). Raises NearfarError where scores and truth do not name the
    same clips.
    """
    _refuse_mismatch(machine, files, truth)
    facts = np.array([truth[file] for file in files])
    for section in sorted(set(facts[:, 0])):
        here = facts[:, 0] == section
        chosen = None if decisions is None else decisions[here]
        yield {"machine": machine, "section": section, "scores": scores[here], "decisions": chosen} | {
            "file": np.asarray(files)[here],
            "label": facts[here, 1],
            "domain": facts[here, 2],
        }


def evaluate_machines(machines, clips, scores, path):
    """Write eval.csv from the clip tables and the fused scores of the machines (lists of equal length)."""
    sections = list(labelled_sections(machines, clips, scores))
    if not sections:
        raise NearfarError(
            f"{path}: no machine has labelled test clips; the clips to listen to are listed by the target "
            f"{Path(path).with_name('ranking.csv')}"
        )
    write_text(path, as_csv(evaluate(sections)))


def evaluate_detectors(detectors, machines, clips, normalized, path):
    """Write detectors.csv, the last row of eval.csv for each detector by itself.

    normalized: paths, all machines of the first detector, then all of the second, and so on.
    """
    rows = []
    for i, detector in enumerate(detectors):
        sections = list(labelled_sections(machines, clips, normalized[i * len(machines) : (i + 1) * len(machines)]))
        if not sections:
            raise NearfarError(f"{path}: no machine has labelled test clips; name them as README.md says")
        rows.append(evaluate(sections)[-1] | {"machine": detector})
    write_text(path, as_csv(rows).replace("machine,section", "detector,section", 1))


def labelled_sections(machines, clips, scores, transform=None):
    """Yield the sections, as ``evaluate`` takes them, of all machines whose test clips have labels.

    machines, clips, scores: names, paths of clip tables and of score tables (lists of equal length); transform: applied
    to the scores (tests,) of a machine's test set.
    """
    for machine, clip_table, score_table in zip(machines, clips, scores, strict=True):
        known, table = read_clips(clip_table, "test"), read_table(score_table)
        unlabelled = [file for file, label in zip(known["file"], known["label"], strict=True) if label is None]
        if len(unlabelled) == len(known["file"]):
            print(f"nearfar: {machine} has no labelled test clips and is left out of the table", file=sys.stderr)
            continue
        if unlabelled:
            raise NearfarError(f"{machine}: {unlabelled[0]} has no label, other clips do; name all alike")
        truth = dict(
            zip(known["file"], zip(known["section"], known["label"], known["domain"], strict=True), strict=True)
        )
        test = np.isin(table["file"], known["file"])
        decisions = table["decision"][test] if "decision" in table else None
        fused = transform(table["score"][test]) if transform else table["score"][test]
        yield from sections_of(machine, table["file"][test], fused, truth, decisions)


def evaluate_folder(folder, truth=None):
    """Return the csv text for the score files in ``folder`` (``folder_sections``)."""
    return as_csv(evaluate(folder_sections(folder, truth)))


def folder_sections(folder, truth=None):
    """Return the sections, as ``evaluate`` takes them, of anomaly_score_<machine>_section_<NN>_test.csv files.

    truth: folder of csv files with file,label,domain rows, one a machine, whose name contains the machine's; without
    it, label and domain are read from the file names. decision_result_ files are used where they lie beside.
    """
    sections = []
    for path in sorted(Path(folder).glob("anomaly_score_*.csv")):
        match = SCORE_FILE.fullmatch(path.name)
        if not match:
            raise NearfarError(f"{path}: rename it to anomaly_score_<machine>_section_00_test.csv")
        scores = _read_pairs(path)
        decided = path.with_name(path.name.replace("anomaly_score", "decision_result"))
        decisions = _read_pairs(decided) if decided.exists() else None
        known = _truth(path, match, list(scores), truth)
        if decisions is not None:
            _refuse_mismatch(decided, decisions, scores)
            decisions = np.array([decisions[file] for file in scores])
        sections += sections_of(match[1], list(scores), np.array(list(scores.values())), known, decisions)
    if not sections:
        raise NearfarError(f"{folder}: no anomaly_score_<machine>_section_<NN>_test.csv in it; give the score folder")
    return sections


def _truth(path, match, files, truth):
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


def _refuse_mismatch(place, files, truth):
    unknown, missing = sorted(set(files) - set(truth)), sorted(set(truth) - set(files))
    if unknown or missing:
        what = f"{unknown[0]} is scored but not in the truth" if unknown else f"{missing[0]} has no score"
        raise NearfarError(
            f"{place}: {what} ({len(unknown)} unknown, {len(missing)} missing); score the clips of the truth"
        )


def _refuse_missing(part, anomalous, target):
    for domain, there in (("source", ~target), ("target", target)):
        for label, kind in (("normal", ~anomalous), ("anomaly", anomalous)):
            if not (there & kind).any():
                raise NearfarError(
                    f"{part['machine']}, section {part['section']}: no {domain} {label} test clip, "
                    f"so Ω is not defined; add some or leave the machine out of data.machines"
                )
