"""What each detector is worth: alone, beside the density core, taken out of a system; and each literal form."""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.comparison.bootstrap import interval, resample
from nearfar.errors import error_prefix
from nearfar.jobs.files import write_text
from nearfar.systems.fusion import test_ranks, weighted
from nearfar.systems.metrics import OMEGA, omega
from nearfar.systems.sections import Section, labelled_sections
from nearfar.systems.tables import csv_table, not_scored
from nearfar.systems.weights import weights_of

FIGURES = tuple(
    f"{kind}{end}"
    for kind in OMEGA
    for end in ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
)


class Variant(NamedTuple):
    """A fusion: the group and name it stands under, its weights, and the name of the variant it is compared with."""

    group: str
    name: str
    weights: dict[str, float]
    against: str | None


def variants(
    systems: dict[str, dict[str, float] | None], core: list[str], detectors: dict[str, str | None], taken_apart: str
) -> list[Variant]:
    """Return the variants to be told apart.

    systems: dict from system to its weights without the core's, None for one of families, which is left out with a word
    on stderr; core: the detectors of the density core; detectors: dict from every detector to the one whose other form
    it is, or None; taken_apart: the system whose parts are removed. Weights sum to 1: what is left when a detector goes
    is scaled up.
    """
    for name in [name for name, given in systems.items() if given is None]:
        print(f"nearfar: {name} has families, not weights, and is left out of the ablation", file=sys.stderr)
    systems = {name: given for name, given in systems.items() if given is not None}
    whole = weights_of(systems[taken_apart], core)
    density = weights_of({}, core)
    ours = [name for name, form in detectors.items() if form is None]
    share = 1 / (len(core) + 1)
    beside = [name for name in ours if name not in core and name in whole]
    fusions = {name: weights_of(given, core) for name, given in systems.items()}
    return [
        Variant("core", "core", density, None),
        *(Variant("alone", name, {name: 1.0}, None) for name in ours),
        *(Variant("beside the core", f"core + {name}", weights_of({name: share}, core), "core") for name in beside),
        *(Variant("system", name, w, "core") for name, w in fusions.items() if len(w) > 1 and w != density),
        *(Variant("taken out", f"{taken_apart} - {n}", _without(whole, n), taken_apart) for n in sorted(whole)),
        *(variant for name, form in detectors.items() if form for variant in _literal(name, form, whole, taken_apart)),
    ]


def _without(weights, name):
    rest = {key: weight for key, weight in weights.items() if key != name}
    return {key: weight / sum(rest.values()) for key, weight in rest.items()}


def _literal(name, form, whole, taken_apart):
    """Yield another form of a detector by itself and, where the system has the detector, in its place."""
    yield Variant("literal", name, {name: 1.0}, form)
    if form in whole:
        swapped = {name if key == form else key: weight for key, weight in whole.items()}
        yield Variant("literal", f"{taken_apart}, {name} for {form}", swapped, taken_apart)


def ranked_sections(
    clips: dict[str, str | Path], normalized: dict[str, dict[str, str | Path]]
) -> dict[str, list[Section]]:
    """Return a dict from detector to its sections (``labelled_sections``), the scores as test ranks.

    clips: dict from machine to path; normalized: dict from detector to a dict from machine to path.
    """
    return {name: labelled_sections(clips, paths, test_ranks) for name, paths in normalized.items()}


def fused(ranked: dict[str, list[Section]], weights: dict[str, float]) -> list[Section]:
    """Return the sections with the weighted sum of the detectors' ranks as scores (Eq. 1)."""
    by_section = zip(*(ranked[name] for name in weights), strict=True)
    return [
        parts[0].with_scores(weighted({name: p.score for name, p in zip(weights, parts, strict=True)}, weights))
        for parts in by_section
    ]


def write_ablation(
    found: list[Variant],
    clips: dict[str, str | Path],
    normalized: dict[str, dict[str, str | Path]],
    path: str | Path,
    *,
    seed: int,
    resamples: int,
    unscored: dict[str, str],
) -> None:
    """Write ablation.csv: Ω of every variant with its interval, and its paired difference to what it is compared with.

    found: from ``variants``; unscored: dict from each machine that could not be scored to the reason; the rest as in
    ``ranked_sections``. Fusion is by test ranks.
    """
    with error_prefix(path):
        ranked = ranked_sections(clips, normalized)
    values = {v.name: resample(fused(ranked, v.weights), seed=seed, resamples=resamples) for v in found}
    rows = [{"group": v.group, "variant": v.name} | figures(values, v.name, v.against) for v in found]
    rows += not_scored(unscored, "group", "variant")
    write_text(path, csv_table(rows, ("group", "variant", "against", *FIGURES), percent=FIGURES))


def figures(values: dict[str, np.ndarray], name: str, against: str | None) -> dict[str, str | float | None]:
    """Return both Ω of a variant with intervals and, where it is compared, the paired differences.

    values: dict from variant to bootstrap.resample's draws.
    """
    row = {"against": against}
    for kind in OMEGA:
        drawn = omega(values[name], kind)
        row |= _triple(kind, drawn)
        if against:
            row |= _triple(f"{kind}_difference", drawn - omega(values[against], kind))
    return row


def _triple(name, drawn):
    low, high = interval(drawn)
    return {name: drawn[0], f"{name}_low": low, f"{name}_high": high}
