"""What each detector is worth: alone, beside the density core, taken out of a system; and each literal form."""

from nearfar.comparison.bootstrap import OMEGA, interval, omegas, resample
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_text
from nearfar.systems.evaluation import labelled_sections
from nearfar.systems.fusion import test_ranks, weighted
from nearfar.systems.tables import csv_text
from nearfar.systems.weights import weights_of

FIELDS = ("group", "variant", "against") + tuple(
    f"{kind}{end}"
    for kind in OMEGA
    for end in ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
)


def variants(systems, core, detectors, taken_apart):
    """Return the variants, a list of (group, name, weights, name of the variant it is compared with or None).

    systems: dict from system to its weights without the core's; core: the detectors of the density core; detectors:
    dict from every detector to the one whose other form it is, or None; taken_apart: the system whose parts are
    removed. Weights sum to 1: what is left when a detector goes is scaled up.
    """
    whole = weights_of(systems[taken_apart], core)
    density = weights_of({}, core)
    found = [("core", "core", density, None)]
    ours = [name for name, form in detectors.items() if form is None]
    found += [("alone", name, {name: 1.0}, None) for name in ours]
    share = 1 / (len(core) + 1)
    beside = [name for name in ours if name not in core and name in whole]
    found += [("beside the core", f"core + {name}", weights_of({name: share}, core), "core") for name in beside]
    fusions = {name: weights_of(given, core) for name, given in systems.items()}
    found += [("system", name, w, "core") for name, w in fusions.items() if len(w) > 1 and w != density]
    found += [("taken out", f"{taken_apart} - {name}", _without(whole, name), taken_apart) for name in sorted(whole)]
    for name, form in detectors.items():
        if form:
            found.append(("literal", name, {name: 1.0}, form))
        if form in whole:
            swapped = {name if key == form else key: weight for key, weight in whole.items()}
            found.append(("literal", f"{taken_apart}, {name} for {form}", swapped, taken_apart))
    return found


def _without(weights, name):
    rest = {key: weight for key, weight in weights.items() if key != name}
    return {key: weight / sum(rest.values()) for key, weight in rest.items()}


def ranked_sections(detectors, machines, clips, normalized):
    """Return a dict from detector to its sections (evaluation.labelled_sections), the scores as test ranks.

    normalized: paths, all machines of the first detector, then all of the second, and so on.
    Raises NearfarError where no machine has labelled test clips.
    """
    count = len(machines)
    files = {name: normalized[i * count : (i + 1) * count] for i, name in enumerate(detectors)}
    ranked = {name: list(labelled_sections(machines, clips, paths, test_ranks)) for name, paths in files.items()}
    if not all(ranked.values()):
        raise NearfarError("no machine has labelled test clips; name them as README.md says")
    return ranked


def fused(ranked, weights):
    """Return the sections with the weighted sum of the detectors' ranks as scores (Eq. 1)."""
    by_section = zip(*(ranked[name] for name in weights), strict=True)
    return [
        parts[0]
        | {"scores": weighted({name: part["scores"] for name, part in zip(weights, parts, strict=True)}, weights)}
        for parts in by_section
    ]


def write_ablation(found, machines, clips, detectors, normalized, path, *, seed, resamples):
    """Write ablation.csv: Ω of every variant with its interval, and its paired difference to what it is compared with.

    found: from ``variants``; the rest as in ``ranked_sections``. Fusion is by test ranks.
    """
    ranked = ranked_sections(detectors, machines, clips, normalized)
    values = {name: resample(fused(ranked, weights), seed=seed, resamples=resamples) for _, name, weights, _ in found}
    rows = [{"group": group, "variant": name} | figures(values, name, against) for group, name, _, against in found]
    write_text(path, csv_text(FIELDS, rows))


def figures(values, name, against):
    """Return both Ω of a variant with intervals and, where it is compared, the paired differences."""
    row = {"against": against}
    for kind in OMEGA:
        drawn = omegas(values[name], kind)
        row |= _triple(kind, drawn)
        if against:
            row |= _triple(f"{kind}_difference", drawn - omegas(values[against], kind))
    return row


def _triple(name, drawn):
    low, high = interval(drawn)
    return {name: drawn[0], f"{name}_low": low, f"{name}_high": high}
