"""What the differences between systems are worth: intervals, paired differences and correlations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from math import erfc
from pathlib import Path

import numpy as np

from nearfar.comparison.bootstrap import interval, redraw_sections, resample
from nearfar.comparison.page import as_page
from nearfar.comparison.records import Difference, Figure
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_text
from nearfar.systems.fusion import test_ranks
from nearfar.systems.metrics import METRICS, OMEGA, omega
from nearfar.systems.score_folder import folder_sections
from nearfar.systems.sections import Section, labelled_sections
from nearfar.systems.tables import csv_table, not_scored

DETECTABLE = 1.960 + 0.842  # standard deviations: two-sided 5 %, power 80 %
PERCENT = ("value", "low", "high", "low_machines", "high_machines", "detectable")
FIELDS = ("system", "against", "machine", "metric", *PERCENT[:-1], "p", "p_holm", "detectable", "spearman")


def compare_systems(
    clips: dict[str, str | Path],
    scores: dict[str, dict[str, str | Path]],
    table: str | Path,
    page: str | Path,
    *,
    seed: int,
    resamples: int,
    unscored: dict[str, str],
) -> None:
    """Write compare.csv and compare.md from the fused scores of several systems.

    clips: dict from machine to the path of its clip table; scores: dict from system to a dict from machine to path;
    unscored: from machine to the reason, as ``scored`` gives it.
    Raises NearfarError, naming ``table``, as ``labelled_sections``.
    """
    with error_prefix(table):
        sections = {system: labelled_sections(clips, paths) for system, paths in scores.items()}
    figures, differences = compare_sections(sections, seed=seed, resamples=resamples)
    rows = [asdict(record) for record in (*figures, *differences)]
    rows += not_scored(unscored, "system", "machine")
    write_text(table, csv_table(rows, FIELDS, percent=PERCENT))
    write_text(page, as_page(figures, differences, resamples, unscored))


def compare_folders(
    folders: Sequence[str], truth: str | Path | None = None, *, seed: int = 0, resamples: int = 2000
) -> str:
    """Return the page that compares folders of score files (``folder_sections``), each named as it is.

    Raises NearfarError where one is given twice, and where they do not score the same clips.
    """
    for i, folder in enumerate(folders):
        if folder in folders[:i]:
            raise NearfarError(f"{folder}: given twice; name each folder once")
    sections = {str(folder): folder_sections(folder, truth) for folder in folders}
    first, *others = sections
    for other in others:
        _refuse_other_clips(first, sections[first], other, sections[other])
    return as_page(*compare_sections(sections, seed=seed, resamples=resamples), resamples, {})


def _refuse_other_clips(first, parts, other, others):
    clips = [{(part.machine, file) for part in chosen for file in part.file} for chosen in (parts, others)]
    for machine, file in sorted(clips[0] ^ clips[1]):
        lacking = other if (machine, file) in clips[0] else first
        raise NearfarError(f"{lacking}: no score of {machine}'s {file}; compare folders that score the same clips")


def compare_sections(
    sections: dict[str, list[Section]], *, seed: int, resamples: int
) -> tuple[list[Figure], list[Difference]]:
    """Return the figures of all systems and the differences of all pairs.

    sections: dict from system to its sections, the same clips in each.
    """
    values = {system: resample(parts, seed=seed, resamples=resamples) for system, parts in sections.items()}
    figures = [figure for system, parts in sections.items() for figure in _figures(system, parts, values[system], seed)]
    differences = []
    for kind in OMEGA:
        pairs = [_difference(a, b, sections, values, kind, seed) for a, b in combinations(sections, 2)]
        adjusted = holm([pair.p for pair in pairs])
        differences += [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]
    return figures, differences


def _figures(system: str, parts: list[Section], values: np.ndarray, seed: int) -> Iterator[Figure]:
    """Yield the figures of one system: every metric of every section, then Ω with clips, and with machines, redrawn.

    A section has no figure of a domain that it has no clip of.
    """
    for i, part in enumerate(parts):
        machine = part.machine if part.section == "00" else f"{part.machine} {part.section}"
        for k, metric in enumerate(METRICS):
            if np.isnan(values[0, i, k]):
                continue
            yield Figure(system, machine, metric, values[0, i, k], *interval(values[:, i, k]))
    for kind in OMEGA:
        yield Figure(system, "all", kind, *_with_intervals(lambda v, kind=kind: omega(v, kind), [values], seed))


def _difference(a, b, sections, values, kind, seed):
    def between(one, other):
        return omega(one, kind) - omega(other, kind)

    pair = [values[a], values[b]]
    value, *bounds = _with_intervals(between, pair, seed)
    spread = float(between(*pair)[1:].std())
    p = erfc(abs(value) / spread / 2**0.5) if spread else float(value == 0)
    return Difference(a, b, kind, value, *bounds, p, DETECTABLE * spread, spearman(sections[a], sections[b]))


def _with_intervals(figure: Callable, values: list[np.ndarray], seed: int) -> list[float]:
    """Return a figure's value, its interval over clips, and that over clips and machines."""
    drawn, elsewhere = figure(*values), figure(*(redraw_sections(v, seed=seed) for v in values))
    return [drawn[0], *interval(drawn), *interval(elsewhere)]


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p for each of several comparisons (Holm 1979), in the order given."""
    count = len(probabilities)
    order = np.argsort(probabilities, kind="stable")
    adjusted = np.empty(count)
    factors = count - np.arange(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(probabilities, float)[order] * factors), 1)
    return adjusted.tolist()


def spearman(a: list[Section], b: list[Section]) -> float:
    """Return the rank correlation of two systems' scores, the mean over their sections (§4)."""
    pairs = zip(a, b, strict=True)
    return float(np.mean([np.corrcoef(test_ranks(one.score), test_ranks(other.score))[0, 1] for one, other in pairs]))
