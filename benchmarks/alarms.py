"""Whether alarms keep their rate, on normal clips that no detector has seen: writes benchmarks/alarms.md.

    .venv/bin/python benchmarks/hearing.py simulated --seeds {0..14}
    .venv/bin/python benchmarks/alarms.py simulated results/hearing/simulated_*
    .venv/bin/python benchmarks/alarms.py held_out emulated real_challenge
    .venv/bin/python benchmarks/alarms.py splits results/alarms/{emulated,real_challenge}

``simulated`` takes the results of runs with labels. ``held_out`` runs the workflow on normal training clips of the real
recordings, of which a third of the source and half of the target clips are held out as test clips. ``splits`` fits the
log-mel detectors anew for each of 200 such divisions, by the features that ``held_out`` left. No anomaly of a real
recording is read.
"""

import csv
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from page import write_section
from scipy import stats

from nearfar.data.clips import read_clips
from nearfar.data.names import parse
from nearfar.data.views import read_views
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.normalization import normalize
from nearfar.settings import parameters_of
from nearfar.systems.alarms import p_values, threshold
from nearfar.systems.fusion import fuse, fuse_families
from nearfar.systems.machine import families_heard
from nearfar.systems.sections import read_scores
from nearfar.systems.tables import markdown
from nearfar.systems.weights import members_of, weights_of

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
HEAD = """# Alarms that keep their rate

Made by `benchmarks/alarms.py`; do not edit. p-values of normal clips that no detector has seen, all machines together.
*D*: the largest distance of their distribution from uniform (Kolmogorov and Smirnov), and the chance of one as large.
*≤ 1 %* and so on: the share of them with such a p, in percent, its binomial 95 % interval, and after "of" where 95 in
100 such shares lie if the clips are exchangeable with the training clips. That and the chance are by simulation with
as many training and test clips a machine: clips that share their training clips err together, which the binomial
interval does not know.
"""
COLUMNS = ("system", "domain", "clips", "D", "chance", "≤ 1 %", "≤ 5 %", "≤ 10 %")
SYSTEMS, RATES, DRAWS, SPLITS = ("system1", "system5"), (0.01, 0.05, 0.1), 2000, 200
DOMAINS = ("source", "target", "both")
HELD_OUT = {"source": 1 / 3, "target": 1 / 2}  # shares of a machine's normal training clips
LOGMEL = {"near": ["logmel_near", "logmel_near_scaled"], "residual": ["logmel_residual", "logmel_residual_scaled"]}


class Judged(NamedTuple):
    """A machine's test clips: level, domain, anomalous (m,), and the levels of its training clips (n,)."""

    level: np.ndarray
    domain: np.ndarray
    anomalous: np.ndarray
    training: np.ndarray

    def p_values(self, domain):
        """Return the p-values of the normal clips of a domain, or of both."""
        wanted = ~self.anomalous & ((self.domain == domain) | (domain == "both"))
        return p_values(self.level[wanted], self.training)


def judged(folder, system, among_others=True):
    """Return the Judged machines of a results folder by a system of the default configuration.

    among_others: training clips are ranked among the others; otherwise among all, as they were once.
    """
    found = []
    for path in sorted((folder / "clips/test").glob("*.parquet")):
        fusion, train, test = _scores(folder, path.stem, system)
        new, clips = fusion(train, test), read_clips(path)
        training = new.training if among_others else fusion(train, train).level
        anomalous = np.array([label == "anomaly" for label in clips["label"]])
        found.append(Judged(new.level, clips["domain"], anomalous, training))
    return found


def _scores(folder, machine, system):
    """Return what fuses a system's scores on a machine, and its detectors' scores of training and test clips."""
    about = CONFIG["systems"][system]
    names = members_of(about, CONFIG["core"])
    tables = {name: read_scores(folder / f"normalized/{name}/{machine}.parquet") for name in names}
    parts = [{n: t["score"][t["split"] == split] for n, t in tables.items()} for split in ("train", "test")]
    if "families" not in about:
        how = {"weights": weights_of(about["weights"], CONFIG["core"]), "ranks": "train"}
        return lambda train, clips: fuse(train, clips, **how, percentile=90), *parts
    residual = [n for n in names if any(view.endswith("/residual") for view in CONFIG["detectors"][n]["views"])]
    families = families_heard(about | {"residual": residual}, folder / f"signals/{machine}.json")
    return lambda *scores: fuse_families(*scores, families, combine=about["combine"], percentile=90), *parts


def judged_by(folder, detector):
    """Return the Judged machines of a results folder by a detector alone."""
    found = []
    for path in sorted((folder / "clips/test").glob("*.parquet")):
        clips, scores = read_clips(path), read_scores(folder / f"normalized/{detector}" / path.name)
        place = {file: row for row, file in enumerate(scores["file"])}
        level = scores["score"][[place[file] for file in clips["file"]]]
        anomalous = np.array([label == "anomaly" for label in clips["label"]])
        found.append(Judged(level, clips["domain"], anomalous, scores["score"][scores["split"] == "train"]))
    return found


def rate_rows(name, machines):
    """Return a row of the table for each domain, and for both, of some Judged machines."""
    return [
        [name, domain, *_cells([(one.p_values(domain), len(one.training)) for one in machines])] for domain in DOMAINS
    ]


def _cells(machines):
    """Return the cells of a row from the p-values of each machine's clips and the number of its training clips."""
    p, rng = np.concatenate([own for own, _ in machines]), np.random.default_rng(0)
    null = [_exchangeable([(len(own), training) for own, training in machines], rng) for _ in range(DRAWS)]
    distance, usual = _distance(p), np.array([_distance(drawn) for drawn in null])
    cells = [len(p), f"{distance:.3f}", f"{(1 + (usual >= distance - 1e-12).sum()) / (1 + DRAWS):.2g}"]
    for rate in RATES:
        low, high = stats.binomtest(_alarms(p, rate), len(p)).proportion_ci()
        least, most = np.percentile([_alarms(drawn, rate) for drawn in null], [2.5, 97.5]) / len(p)
        share = _alarms(p, rate) / len(p)
        cells.append(f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}] of {100 * least:.1f}–{100 * most:.1f}")
    return cells


def _exchangeable(sizes, rng):
    """Return p-values of clips that are exchangeable with the training clips; sizes: of both, by machine."""
    return np.concatenate([p_values(rng.random(count), rng.random(training)) for count, training in sizes])


def _distance(p):
    return np.abs(np.searchsorted(np.sort(p), GRID, "right") / len(p) - GRID).max()


GRID = np.linspace(0, 1, 1001)


def _alarms(p, rate):
    return int((p <= rate + 1e-12).sum())


def discoveries(name, machines):
    """Return rows of Benjamini and Hochberg at 10 %, a machine's clips together, by the share of anomalies."""
    rng, rows = np.random.default_rng(0), []
    for share in (0.1, 0.5):
        found = np.array([_discovered(one, share, rng) for one in machines])
        error = found[:, 0].std() / np.sqrt(len(machines))
        false, power, none = 100 * found.mean(axis=0)
        rows.append([name, f"{100 * share:.0f} %", f"{false:.1f} ± {100 * error:.1f}", f"{power:.0f}", f"{none:.0f}"])
    return rows


def _discovered(one, share, rng, draws=20):
    """Return means over draws of so large a share of anomalies: false share of the alarms, power, no alarm at all."""
    normal, anomalous = np.flatnonzero(~one.anomalous), np.flatnonzero(one.anomalous)
    count, found = min(round(len(normal) * share / (1 - share)), len(anomalous)), []
    for _ in range(draws):
        batch = np.concatenate([normal, rng.permutation(anomalous)[:count]])
        limit = threshold(one.training, one.level[batch], percentile=90, false_alarm=None, fdr=0.1)
        alarms = one.level[batch] > limit
        false = alarms[: len(normal)].sum()
        found.append((false / max(alarms.sum(), 1), (alarms.sum() - false) / count, not alarms.any()))
    return np.mean(found, axis=0)


def simulated(folders):
    """Return the text of the section of runs on simulated machines."""
    rows, found = [], []
    for system in SYSTEMS:
        machines = [one for folder in folders for one in judged(Path(folder), system)]
        before = [one for folder in folders for one in judged(Path(folder), system, among_others=False)]
        rows += rate_rows(system, machines)
        rows += [[f"{system}, training clips ranked among all", *row[1:]] for row in rate_rows(system, before)[-1:]]
        found += discoveries(system, machines)
    about = f"{len(machines)} machines of {np.median([len(one.training) for one in machines]):.0f} training clips."
    columns = (
        "system",
        "anomalies",
        "false, % of the alarms",
        "found, % of the anomalies",
        "no alarm, % of the batches",
    )
    fdr = "Benjamini and Hochberg at 10 %, a machine's clips as a batch, with so large a share of anomalies:"
    return f"{about}\n\n{markdown(rows, COLUMNS)}\n\n{fdr}\n\n{markdown(found, columns)}\n"


def divided(domain, rng):
    """Return whether each normal clip (n,) is held out: HELD_OUT of those of its domain, drawn at random."""
    held = np.zeros(len(domain), bool)
    for name, share in HELD_OUT.items():
        own = rng.permutation(np.flatnonzero(domain == name))
        held[own[: round(share * len(own))]] = True
    return held


def table(name):
    """Return the rows of a table of a set's normal training clips, some of them as test clips."""
    rng, rows = np.random.default_rng(0), [("path", "machine", "split", "domain", "label", "attribute")]
    for machine in sorted((ROOT / f"data/{name}/dev_data/raw").iterdir()):
        files = sorted(machine.glob("train/*_normal_*"))
        names = [parse(file.name, "train") for file in files]
        held = divided(np.array([one.domain for one in names]), rng)
        for file, one, out in zip(files, names, held, strict=True):
            split = "test" if out else "train"
            rows.append((str(file.resolve()), machine.name, split, one.domain, "normal", one.attribute))
    return rows


def held_out(names):
    """Run the workflow on each set's normal clips; return the text of the section."""
    rows, members = [], []
    for name in names:
        clips, folder = table(name), ROOT / f"results/alarms/{name}"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "clips.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(clips)
        settings = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        settings |= {"results": str(folder.relative_to(ROOT)), "data": {"clips": str(folder / "clips.csv"), "far": 1}}
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        machines = sorted({row[1] for row in clips[1:]})
        targets = [f"{settings['results']}/{system}/scores/{one}.parquet" for system in SYSTEMS for one in machines]
        command = [sys.executable, "-m", "snakemake", *targets, "--cores", "2", "-q"]
        subprocess.run([*command, "--configfile", str(folder / "settings.yaml")], cwd=ROOT, check=True)
        for system in SYSTEMS:
            rows += rate_rows(f"{system}, {name}", judged(folder, system))
        for place in sorted((folder / "normalized").iterdir()):
            members.append([place.name, name, *rate_rows("", judged_by(folder, place.name))[-1][2:]])
    columns = ("detector", "set", *COLUMNS[2:])
    return f"{markdown(rows, COLUMNS)}\n\nThe detectors by themselves:\n\n{markdown(members, columns)}\n"


def splits(folders):
    """Return the text of the section of many divisions, by the features in some results folders."""
    rng, rows = np.random.default_rng(0), []
    for folder in map(Path, folders):
        found = {domain: [] for domain in DOMAINS}
        for path in sorted((folder / "clips/train").glob("*.parquet")):
            views = [folder / f"features/logmel/{channel}/{path.name}" for channel in LOGMEL]
            table, vectors = read_views([path, folder / "clips/test" / path.name], views)
            for _ in range(SPLITS):
                one = _refitted(table, dict(zip(LOGMEL, vectors, strict=True)), divided(table["domain"], rng))
                for domain in DOMAINS:
                    found[domain].append([_alarms(one.p_values(domain), rate) for rate in RATES])
                    found[domain][-1] = np.array(found[domain][-1]) / len(one.p_values(domain))
        rows += [
            [folder.name, domain, *(f"{100 * x:.1f}" for x in np.mean(found[domain], axis=0))] for domain in DOMAINS
        ]
    about = (
        f"The four log-mel detectors by soft maximum, {SPLITS} divisions a machine; means over machines and divisions."
    )
    return f"{about}\n\n{markdown(rows, ('set', 'domain', *COLUMNS[-3:]))}\n"


def _refitted(table, views, held):
    """Return the held-out clips of a machine, judged by detectors that were fitted to the others."""
    scores = [{}, {}]
    for channel, names in LOGMEL.items():
        for name in names:
            seen, new = [views[channel][~held]], [views[channel][held]]
            fit = CrossFit("whitened", parameters_of(CONFIG, name), CONFIG["folds"], seed=0)
            fit.fit(table["file"][~held], table["domain"][~held], seen)
            pair = normalize(
                fit.training_scores(seen), fit.score(new), table["domain"][~held], **CONFIG["normalization"]
            )
            for part, own in zip(scores, pair, strict=True):
                part[name] = own
    fusion = fuse_families(*scores, LOGMEL, combine="soft_maximum", percentile=90)
    return Judged(fusion.level, table["domain"][held], np.zeros(held.sum(), bool), fusion.training)


SECTIONS = {
    "simulated": (simulated, "Simulated machines"),
    "held_out": (held_out, "Held-out normal clips of real recordings"),
    "splits": (splits, "Held-out normal clips, divided 200 times"),
}


def main():
    """Write a section of the page."""
    make, title = SECTIONS[sys.argv[1]]
    write_section(Path(__file__).parent / "alarms.md", HEAD, title, make(sys.argv[2:]))


if __name__ == "__main__":
    main()
