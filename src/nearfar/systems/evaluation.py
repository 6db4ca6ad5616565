"""The table of Ω: from scored clips to eval.csv and to what a person reads."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_text
from nearfar.systems.metrics import DECISION, METRICS, OMEGA, decision_metrics, harmonic_mean, omega, section_metrics
from nearfar.systems.sections import Section, labelled_sections
from nearfar.systems.tables import not_scored, omega_csv


def evaluate(sections: Iterable[Section]) -> list[dict[str, str | float]]:
    """Return the rows of the table, dicts of COLUMNS with fractions: one a section, and "all", their harmonic means.

    A section of one domain has no value of the other; its Ω is the harmonic mean of AUC and pAUC. Ω of "all" is the
    harmonic mean over all values that sections have. Columns of decisions are left out where a section has none.
    Raises NearfarError where a figure is not finite.
    """
    sections = list(sections)
    values = np.stack([section_metrics(part.score, part.anomalous, part.target)[0] for part in sections])
    rows = [_row(part, own) for part, own in zip(sections, values, strict=True)]
    mean = {"machine": "all", "section": ""} | {kind: omega(values, kind) for kind in OMEGA}
    for key in (*METRICS, *DECISION):
        found = [row[key] for row in rows if key in row]
        if found and (key in METRICS or len(found) == len(rows)):
            mean[key] = harmonic_mean(found)
    return [*rows, mean]


def _row(part, values):
    """Return the row of a section from its METRICS (5,), without those of a domain that it has no clip of."""
    metrics = dict(zip(METRICS, values, strict=True))
    there = {name: value for name, value in metrics.items() if not any(domain in name for domain in part.absent)}
    for name, value in there.items():
        if not np.isfinite(value):
            raise NearfarError(f"{part.machine}: {name} is {value}; check the scores it is computed from")
    row = {"machine": part.machine, "section": part.section} | there
    row |= {kind: omega(values[None], kind) for kind in OMEGA}
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
