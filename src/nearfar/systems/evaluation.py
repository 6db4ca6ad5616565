"""The table of Ω: from scored clips to eval.csv and to what a person reads."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_text
from nearfar.systems.metrics import METRICS, OMEGA, decision_metrics, harmonic_mean, omega, section_metrics
from nearfar.systems.sections import Section, labelled_sections
from nearfar.systems.tables import COLUMNS, not_scored, omega_csv


def evaluate(sections: Iterable[Section]) -> list[dict[str, str | float]]:
    """Return the rows of the table, dicts of COLUMNS with fractions: one a section, and "all", their harmonic means.

    Ω of "all" so is the harmonic mean over the three values of every section. Columns of decisions are left out where
    a section has none. Raises NearfarError where a figure is not finite.
    """
    rows = [_row(section) for section in sections]
    everywhere = [key for key in COLUMNS[2:] if all(key in row for row in rows)]
    mean = {key: harmonic_mean([row[key] for row in rows]) for key in everywhere}
    rows.append({"machine": "all", "section": ""} | mean)
    for row in rows:
        for key in COLUMNS[2:]:
            if not np.isfinite(row.get(key, 0)):
                raise NearfarError(f"{row['machine']}: {key} is {row[key]}; check the scores it is computed from")
    return rows


def _row(part):
    values = section_metrics(part.score, part.anomalous, part.target)
    row = {"machine": part.machine, "section": part.section} | dict(zip(METRICS, values[0], strict=True))
    row |= {kind: omega(values, kind) for kind in OMEGA}
    if part.decision is not None:
        row |= decision_metrics(part.decision, part.anomalous, part.target)
    return row


def evaluate_machines(
    clips: dict[str, str | Path], scores: dict[str, str | Path], path: str | Path, *, unscored: dict[str, str]
) -> None:
    """Write eval.csv from the clip table and the fused scores of each machine; name those ``unscored``, see not_scored.

    Raises NearfarError, naming ``path``, as ``labelled_sections``.
    """
    with error_prefix(path):
        sections = labelled_sections(clips, scores)
    *rows, mean = evaluate(sections)
    write_text(path, omega_csv([*rows, *not_scored(unscored), mean]))


def evaluate_detectors(
    clips: dict[str, str | Path],
    normalized: dict[str, dict[str, str | Path]],
    path: str | Path,
    *,
    unscored: dict[str, str],
) -> None:
    """Write detectors.csv, the last row of eval.csv for each detector by itself.

    normalized: dict from detector to a dict from machine to path. Raises NearfarError as ``evaluate_machines``.
    """
    with error_prefix(path):
        sections = {detector: labelled_sections(clips, paths) for detector, paths in normalized.items()}
    rows = [evaluate(parts)[-1] | {"machine": detector} for detector, parts in sections.items()]
    write_text(path, omega_csv([*rows, *not_scored(unscored)], first="detector"))
