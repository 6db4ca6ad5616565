"""Fusion weights chosen on labels, and what such a choice is worth on a machine it has not seen."""

from itertools import combinations

import numpy as np

from nearfar.comparison.ablation import figures, fused, ranked_sections
from nearfar.comparison.bootstrap import METRICS, OMEGA, metrics_of, resample
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_text
from nearfar.systems.metrics import EPS
from nearfar.systems.tables import csv_text
from nearfar.systems.weights import weights_of

FIXED, LEFT_OUT, FITTED = "fixed", "chosen on the other machines", "chosen on all machines (flattering)"


def simplex(parts, steps):
    """Return all ways to share 1 among ``parts`` in multiples of 1/steps, (ways, parts)."""
    ways = list(combinations(range(steps + parts - 1), parts - 1))
    bars = np.array(ways, int).reshape(len(ways), parts - 1)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, steps + parts - 1)))
    return (np.diff(edges, axis=1) - 1) / steps


def grid(detectors, core, steps):
    """Return the weights to choose from, a list of dicts: the core's detectors share one part, as in Eq. 1."""
    return [weights_of(dict(zip(detectors, row[1:], strict=True)), core) for row in simplex(1 + len(detectors), steps)]


def section_values(ranked, candidates):
    """Return the METRICS of every section with every weighting, (candidates, sections, 5).

    ranked: from ablation.ranked_sections.
    """
    names = sorted({name for weights in candidates for name in weights})
    matrix = np.array([[weights.get(name, 0.0) for name in names] for weights in candidates])
    columns = []
    for parts in zip(*(ranked[name] for name in names), strict=True):
        scores = matrix @ np.stack([part["scores"] for part in parts])
        anomalous, target = parts[0]["label"] == "anomaly", parts[0]["domain"] == "target"
        once = np.ones((1, len(anomalous)))
        columns.append([metrics_of(row, anomalous, target, once)[0] for row in scores])
    return np.swapaxes(np.array(columns), 0, 1)


def choose(values, sections):
    """Return the index of the weighting with the highest official Ω over ``sections`` (list of indices)."""
    chosen = np.maximum(values[:, sections][:, :, OMEGA["omega"]], EPS)
    return int(np.argmin((1 / chosen).sum(axis=(1, 2))))


def write_weights(given, core, machines, clips, detectors, normalized, path, *, steps, seed, resamples):
    """Write weights.csv: Ω with the weights ``given``, chosen with one machine left out, and chosen on all.

    given: dict from a system's detectors to their weights without the core's; the rest as in ablation.write_ablation.
    The bootstrap takes the chosen weights as they are. Raises NearfarError for a single machine.
    """
    ranked = ranked_sections(detectors, machines, clips, normalized)
    owners = [part["machine"] for part in ranked[detectors[0]]]
    if len(set(owners)) < 2:
        raise NearfarError(f"{path}: weights cannot be chosen on other machines than {owners[0]}; score two or more")
    candidates = grid(sorted(given), core, steps)
    values = section_values(ranked, candidates)
    left_out = [candidates[choose(values, [i for i, o in enumerate(owners) if o != owner])] for owner in owners]
    chosen = {
        FIXED: [weights_of(given, core)] * len(owners),
        LEFT_OUT: left_out,
        FITTED: [candidates[choose(values, range(len(owners)))]] * len(owners),
    }
    drawn = {
        name: resample(_fused_each(ranked, weights), seed=seed, resamples=resamples) for name, weights in chosen.items()
    }
    rows = [
        {"choice": name, "machine": "all"} | figures(drawn, name, FIXED if name != FIXED else None) for name in chosen
    ]
    rows += _machine_rows(chosen, drawn, owners)
    fields = ("choice", "machine", *METRICS, *list(rows[1])[2:], *(f"weight_{name}" for name in detectors))
    write_text(path, csv_text(list(dict.fromkeys(fields)), rows))


def _fused_each(ranked, weights):
    """Return the sections, each fused with weights of its own."""
    return [fused({name: [parts[i]] for name, parts in ranked.items()}, own)[0] for i, own in enumerate(weights)]


def _machine_rows(chosen, drawn, owners):
    for name, weights in chosen.items():
        for i, owner in enumerate(owners):
            row = dict(zip(METRICS, drawn[name][0, i], strict=True))
            yield {"choice": name, "machine": owner} | row | {f"weight_{key}": w for key, w in weights[i].items()}
