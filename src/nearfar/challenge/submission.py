"""A submission to the challenge: a folder of scores, decisions and metadata for each system, and one zip of all."""

import csv
import json
import math
import sys
import zipfile
from pathlib import Path

from nearfar.challenge.check import FILES, SECTION, check
from nearfar.challenge.metadata import as_yaml, metadata
from nearfar.data.names import parse
from nearfar.detectors.crossfit import TRAINED
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, replacing, write_text
from nearfar.systems.tables import NOT_SCORED

PLACEHOLDERS = ("Surname_Affiliation", "name@example.org")  # of config/config.yaml


def write_system(
    machines: list[str],
    scores: list[str | Path],
    folder: str | Path,
    *,
    system: str,
    about: dict,
    description: dict,
    models: list[str | Path],
    table: str | Path | None = None,
) -> None:
    """Write <folder>/<label>/ with the scores and decisions of the machines and <label>.meta.yaml.

    scores: paths of the fused scores, one a machine; about: the configuration's ``submission``; description: of
    ``metadata.describe``; models: safetensors files whose elements are the system's parameters; table: path of
    eval.csv, or None where no machine has labels. Raises NearfarError for a clip of another section than 00.
    """
    number = about["systems"].index(system) + 1
    label = f"{about['label']}_task2_{number}"
    for machine, path in zip(machines, scores, strict=True):
        clips = sorted(zip(*map(read_table(path).get, ("file", "score", "decision")), strict=True))
        _refuse_other_sections(machine, [file for file, *_ in clips])
        columns = ([(file, repr(float(score))) for file, score, _ in clips], [(file, int(d)) for file, _, d in clips])
        for kind, rows in zip(FILES, columns, strict=True):
            text = "".join(f"{file},{value}\n" for file, value in rows)
            write_text(Path(folder, label, f"{kind}_{machine}_section_{SECTION}_test.csv"), text)
    meta = metadata(label, number, system, about, description, sum(map(elements, models)), development(table))
    write_text(Path(folder, label, f"{label}.meta.yaml"), as_yaml(meta))
    left = [
        text for text in PLACEHOLDERS if text in (about["label"], *(author["email"] for author in about["authors"]))
    ]
    if left:
        print(
            f"nearfar: {label}: still holds {' and '.join(left)}; fill in submission.label and submission.authors",
            file=sys.stderr,
        )


def development(table: str | Path | None) -> dict[str, dict[str, float]] | None:
    """Return the rows of an eval.csv as dict from machine to percentages, without the means; None without a table.

    Raises NearfarError for a machine whose labelled clips are of one domain.
    """
    if not table:
        return None
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["machine"] not in ("all", NOT_SCORED)]
    names = ("auc_source", "auc_target", "pauc", "precision", "recall", "f1")
    for row in rows:
        if absent := [name for name in names if row[name] == ""]:
            raise NearfarError(
                f"{table}: {_part(row)} has no {absent[0]}, which a submission reports; leave it out of data.machines"
            )
    return {_part(row): {name: float(row[name]) for name in names} for row in rows}


def elements(path: str | Path) -> int:
    """Return the number of elements of what is learned in a safetensors file, of which the header alone is read."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(about["shape"]) for name, about in header.items() if name not in ("__metadata__", TRAINED))


def write_zip(folders: list[str | Path], path: str | Path, *, label: str, report: str | Path | None = None) -> None:
    """Put the systems' folders and the report (path of a pdf or None) into one zip, whose bytes depend on them alone.

    The zip takes its final name only where it keeps every rule of the format. Raises NearfarError where it does not.
    """
    files = {f"{file.parent.name}/{file.name}": file for folder in folders for file in Path(folder).glob("*/*")}
    if report:
        files[f"{label}_task2.technical_report.pdf"] = Path(report)
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:  # stored: what a zlib makes of it may differ
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, files[name].read_bytes())
        found = check(temporary)
        if found.total:
            raise NearfarError(
                f"{path}: not written, {found.breaches[0]} ({found.total} breaches of the format in all)"
            )


def _part(row):
    return row["machine"] if row["section"] == SECTION else f"{row['machine']}_section_{row['section']}"


def _refuse_other_sections(machine, files):
    for file in files:
        if parse(file, "test").section != SECTION:
            raise NearfarError(
                f"{machine}: {file} is of another section, the challenge has section {SECTION} alone; "
                f"name the machines to submit in submission.machines"
            )
