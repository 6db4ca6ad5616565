"""What the differences between systems are worth: intervals, paired differences and correlations, as tables."""

from itertools import combinations
from math import erfc

import numpy as np

from nearfar.comparison.bootstrap import METRICS, OMEGA, interval, omegas, redraw_sections, resample
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_text
from nearfar.systems.evaluation import folder_sections, labelled_sections
from nearfar.systems.fusion import test_ranks
from nearfar.systems.tables import csv_text

DETECTABLE = 1.960 + 0.842  # standard deviations: two-sided 5 %, power 80 %
FIELDS = (
    *("system", "against", "machine", "metric", "value", "low", "high", "low_machines", "high_machines"),
    *("p", "p_holm", "detectable", "spearman"),
)


def compare_systems(systems, machines, clips, scores, table, page, *, seed, resamples):
    """Write compare.csv and compare.md from the fused scores of several systems.

    machines, clips: names and paths of the clip tables; scores: paths, all machines of the first system, then all of
    the second, and so on. Raises NearfarError where no machine has labelled test clips.
    """
    sections = {}
    for i, system in enumerate(systems):
        own = scores[i * len(machines) : (i + 1) * len(machines)]
        sections[system] = list(labelled_sections(machines, clips, own))
        if not sections[system]:
            raise NearfarError(f"{table}: no machine has labelled test clips; there is nothing to compare")
    rows = compare(sections, seed=seed, resamples=resamples)
    write_text(table, csv_text(FIELDS, rows, plain=("p", "p_holm", "spearman")))
    write_text(page, as_page(rows, systems, resamples))


def compare_folders(folders, truth=None, *, seed=0, resamples=2000):
    """Return the page that compares folders of score files (evaluation.folder_sections), each named as it is.

    Raises NearfarError where one is given twice, and where they do not score the same clips.
    """
    for i, folder in enumerate(folders):
        if folder in folders[:i]:
            raise NearfarError(f"{folder}: given twice; name each folder once")
    sections = {str(folder): folder_sections(folder, truth) for folder in folders}
    first, *others = sections
    for other in others:
        _refuse_other_clips(first, sections[first], other, sections[other])
    rows = compare(sections, seed=seed, resamples=resamples)
    return as_page(rows, list(sections), resamples)


def _refuse_other_clips(first, parts, other, others):
    clips = [{(p["machine"], file) for p in chosen for file in p["file"]} for chosen in (parts, others)]
    for machine, file in sorted(clips[0] ^ clips[1]):
        lacking = other if (machine, file) in clips[0] else first
        raise NearfarError(f"{lacking}: no score of {machine}'s {file}; compare folders that score the same clips")


def compare(sections, *, seed, resamples):
    """Return the rows of the comparison, dicts of FIELDS with fractions.

    sections: dict from system to its sections as evaluation.evaluate takes them, the same clips in each.
    A row without ``against`` is a figure of a system, on one machine or on "all"; one with it is the paired difference
    of Ω, system less ``against``, with Holm's p over all pairs and the smallest difference that such a test would
    detect four times in five. p is that of a normal difference with the bootstrap's standard deviation: the share of
    draws beyond zero could not be small enough for many pairs.
    """
    values = {system: resample(parts, seed=seed, resamples=resamples) for system, parts in sections.items()}
    rows = [row for system, parts in sections.items() for row in _figures(system, parts, values[system], seed)]
    for kind in OMEGA:
        pairs = [_difference(a, b, values, kind, seed) for a, b in combinations(sections, 2)]
        for row, adjusted in zip(pairs, holm([row["p"] for row in pairs]), strict=True):
            correlation = spearman(sections[row["system"]], sections[row["against"]])
            rows.append(row | {"p_holm": adjusted, "spearman": correlation})
    return rows


def _figures(system, parts, values, seed):
    """Yield the figures of one system: every metric of every section, then Ω with clips, and with machines, redrawn."""
    for i, part in enumerate(parts):
        machine = part["machine"] if part["section"] == "00" else f"{part['machine']} {part['section']}"
        for k, metric in enumerate(METRICS):
            low, high = interval(values[:, i, k])
            yield {"system": system, "machine": machine, "metric": metric, "value": values[0, i, k]} | {
                "low": low,
                "high": high,
            }
    for kind in OMEGA:
        yield {"system": system, "metric": kind} | _with_intervals(lambda v, kind=kind: omegas(v, kind), [values], seed)


def _difference(a, b, values, kind, seed):
    row = _with_intervals(lambda va, vb: omegas(va, kind) - omegas(vb, kind), [values[a], values[b]], seed)
    spread = float((omegas(values[a], kind) - omegas(values[b], kind))[1:].std())
    probability = erfc(abs(row["value"]) / spread / 2**0.5) if spread else float(row["value"] == 0)
    about = {"system": a, "against": b, "metric": kind, "p": probability, "detectable": DETECTABLE * spread}
    return about | row


def _with_intervals(figure, values, seed):
    drawn, elsewhere = figure(*values), figure(*(redraw_sections(v, seed=seed) for v in values))
    (low, high), (low_machines, high_machines) = interval(drawn), interval(elsewhere)
    row = {"machine": "all", "value": drawn[0], "low": low, "high": high}
    return row | {"low_machines": low_machines, "high_machines": high_machines}


def holm(probabilities):
    """Return Holm's adjusted p for each of several comparisons (Holm 1979), in the order given."""
    count = len(probabilities)
    order = np.argsort(probabilities, kind="stable")
    adjusted = np.empty(count)
    factors = count - np.arange(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(probabilities, float)[order] * factors), 1)
    return adjusted.tolist()


def spearman(a, b):
    """Return the rank correlation of two systems' scores, the mean over their sections (§4)."""
    return float(np.mean([_correlation(one, other) for one, other in zip(a, b, strict=True)]))


def _correlation(one, other):
    ranks = [test_ranks(part["scores"][np.argsort(part["file"].astype(str))]) for part in (one, other)]
    return np.corrcoef(*ranks)[0, 1]


def as_page(rows, systems, resamples):
    """Return the comparison as a page to read, in Markdown."""
    totals = [row for row in rows if row["machine"] == "all" and "against" not in row]
    lines = ["# Comparison of systems", "", *_explained(resamples), "", *_totals(totals, systems), ""]
    for kind, title in (("omega", "Ω official"), ("omega_own", "Ω own-domain")):
        pairs = [row for row in rows if row.get("against") and row["metric"] == kind]
        lines += [f"## {title}: paired differences", "", *_pairs(pairs), ""] if pairs else []
    return "\n".join([*lines, *_machines(rows, systems)]) + "\n"


def _explained(resamples):
    return [
        f"Percent. In brackets the 95 % interval of a paired bootstrap over clips ({resamples:,} draws, stratified by",
        "machine, domain and condition): optimistic where clips of one recording resemble each other. The interval",
        "that also draws machines anew is indicative only: a handful of machines says little about others. *better* or",
        "*worse* stands only where the interval of the paired difference excludes zero and Holm's p over all pairs",
        "is below 0.05.",
    ]


def _totals(totals, systems):
    lines = ["| system | Ω official | machines too | Ω own-domain | machines too |", "|---|---|---|---|---|"]
    for system in systems:
        cells = [system]
        for kind in OMEGA:
            row = next(row for row in totals if row["system"] == system and row["metric"] == kind)
            cells += [_bracketed(row), f"[{100 * row['low_machines']:.1f}, {100 * row['high_machines']:.1f}]"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _pairs(pairs):
    lines = [
        "| system | against | difference | Holm's p | detectable | rank correlation | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in pairs:
        cells = [row["system"], row["against"], _bracketed(row, "+.2f", "+.1f"), f"{row['p_holm']:.3f}"]
        cells += [f"{100 * row['detectable']:.1f}", f"{row['spearman']:.2f}", verdict(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def verdict(row):
    """Return "better", "worse" or "not settled" for a paired difference."""
    if row["p_holm"] >= 0.05 or row["low"] <= 0 <= row["high"]:
        return "not settled"
    return "better" if row["low"] > 0 else "worse"


def _machines(rows, systems):
    lines = []
    for metric in METRICS:
        chosen = [row for row in rows if row["metric"] == metric]
        names = list(dict.fromkeys(row["machine"] for row in chosen))
        lines += [f"## {metric}", "", f"| machine | {' | '.join(systems)} |", "|---" * (len(systems) + 1) + "|"]
        for name in names:
            cells = {row["system"]: _bracketed(row, ".1f", ".0f") for row in chosen if row["machine"] == name}
            lines.append(f"| {name} | {' | '.join(cells[system] for system in systems)} |")
        lines.append("")
    return lines[:-1]


def _bracketed(row, value=".2f", bound=".1f"):
    return f"{100 * row['value']:{value}} [{100 * row['low']:{bound}}, {100 * row['high']:{bound}}]"
