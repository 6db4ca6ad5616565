"""Fusion weights chosen on labels, and what such a choice is worth on a machine it has not seen."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from nearfar.comparison.ablation import FIGURES, figures, fused, ranked_sections
from nearfar.comparison.bootstrap import resample
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_text
from nearfar.systems.metrics import METRICS, omega, section_metrics
from nearfar.systems.sections import Section
from nearfar.systems.tables import csv_table, not_scored
from nearfar.systems.weights import weights_of

FIXED, LEFT_OUT, FITTED = "fixed", "chosen on the other machines", "chosen on all machines (flattering)"


def simplex(parts: int, steps: int) -> np.ndarray:
    """Return all ways to share 1 among ``parts`` in multiples of 1/steps, (ways, parts)."""
    ways = list(combinations(range(steps + parts - 1), parts - 1))
    bars = np.array(ways, int).reshape(len(ways), parts - 1)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, steps + parts - 1)))
    return (np.diff(edges, axis=1) - 1) / steps


def grid(detectors: list[str], core: list[str], steps: int) -> list[dict[str, float]]:
    """Return the weights to choose from, a list of dicts: the core's detectors share one part, as in Eq. 1."""
    return [weights_of(dict(zip(detectors, row[1:], strict=True)), core) for row in simplex(1 + len(detectors), steps)]


def section_values(ranked: dict[str, list[Section]], candidates: list[dict[str, float]]) -> np.ndarray:
    """Return the METRICS of every section with every weighting, (candidates, sections, 5).

    ranked: from ablation.ranked_sections.
    """
    names = sorted({name for weights in candidates for name in weights})
    matrix = np.array([[weights.get(name, 0.0) for name in names] for weights in candidates])
    columns = []
    for parts in zip(*(ranked[name] for name in names), strict=True):
        scores = matrix @ np.stack([part.score for part in parts])
        columns.append([section_metrics(row, parts[0].anomalous, parts[0].target)[0] for row in scores])
    return np.swapaxes(np.array(columns), 0, 1)


def choose(values: np.ndarray, sections: Sequence[int]) -> int:
    """Return the index of the weighting with the highest official Ω over ``sections`` (indices), the first of equals.

    values: (candidates, sections, 5), from ``section_values``.
    """
    return int(np.argmax(omega(values[:, sections])))


def write_weights(
    given: dict[str, float],
    core: list[str],
    clips: dict[str, str | Path],
    normalized: dict[str, dict[str, str | Path]],
    path: str | Path,
    *,
    steps: int,
    seed: int,
    resamples: int,
    unscored: dict[str, str],
) -> None:
    """Write weights.csv: Ω with the weights ``given``, chosen with one machine left out, and chosen on all.

    given: dict from a system's detectors to their weights without the core's; the rest as in ablation.write_ablation.
    The bootstrap takes the chosen weights as they are. Raises NearfarError for a single machine.
    """
    with error_prefix(path):
        ranked = ranked_sections(clips, normalized)
    owners = [part.machine for part in next(iter(ranked.values()))]
    if len(set(owners)) < 2:
        raise NearfarError(f"{path}: weights cannot be chosen on other machines than {owners[0]}; score two or more")
    candidates = grid(sorted(given), core, steps)
    chosen = {FIXED: [weights_of(given, core)] * len(owners)} | _chosen(ranked, owners, candidates)
    drawn = {
        name: resample(_fused_each(ranked, weights), seed=seed, resamples=resamples) for name, weights in chosen.items()
    }
    rows = [
        {"choice": name, "machine": "all"} | figures(drawn, name, FIXED if name != FIXED else None) for name in chosen
    ]
    rows += [*_machine_rows(chosen, drawn, owners), *not_scored(unscored, "choice", "machine")]
    shown = (*FIGURES, *(f"weight_{name}" for name in normalized))
    columns = ("choice", "machine", *METRICS, "against", *shown)
    write_text(path, csv_table(rows, columns, percent=(*METRICS, *shown)))


def _chosen(ranked, owners, candidates):
    """Return the weights of each section, chosen on the other machines' sections and on all."""
    values = section_values(ranked, candidates)
    left_out = [candidates[choose(values, [i for i, o in enumerate(owners) if o != owner])] for owner in owners]
    return {LEFT_OUT: left_out, FITTED: [candidates[choose(values, range(len(owners)))]] * len(owners)}


def _fused_each(ranked, weights):
    """Return the sections, each fused with weights of its own."""
    return [fused({name: [parts[i]] for name, parts in ranked.items()}, own)[0] for i, own in enumerate(weights)]


def _machine_rows(chosen, drawn, owners):
    for name, weights in chosen.items():
        for i, owner in enumerate(owners):
            row = dict(zip(METRICS, drawn[name][0, i], strict=True))
            yield {"choice": name, "machine": owner} | row | {f"weight_{key}": w for key, w in weights[i].items()}
