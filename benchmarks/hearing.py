"""What system 5 hears beside system 1 and `raw`, and what each of its parts is worth: writes benchmarks/hearing.md.

    .venv/bin/python benchmarks/hearing.py real_challenge
    .venv/bin/python benchmarks/hearing.py emulated
    .venv/bin/python benchmarks/hearing.py simulated --seeds 100 101 102
    .venv/bin/python benchmarks/hearing.py simulated --machines fan fan_2 gearbox gearbox_2 slider slider_2

Makes the data set where it is not there (data/real_challenge and data/emulated, of ../shared's recordings by its
tools), runs the workflow on it and writes the section of that set anew. Results stay in results/hearing: a second call
computes what has changed. The seeds of the simulated sets are evaluated together, as so many more machines.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from page import write_section
from scipy import stats

from nearfar.comparison.bootstrap import interval, redraw_sections, resample
from nearfar.systems.fusion import COMBINED
from nearfar.systems.machine import fuse_machine
from nearfar.systems.metrics import OMEGA, omega
from nearfar.systems.sections import labelled_sections
from nearfar.systems.tables import markdown

ROOT = Path(__file__).parents[1]
DECISION = {"percentile": 90, "false_alarm": None, "fdr": None}
SHARED = ROOT.parent / "shared"
FOLDER = Path("results/hearing")
HEAD = """# What system 5 hears

Made by `benchmarks/hearing.py`; do not edit. Ω in percent, with the 95 % interval of the bootstrap over clips (2,000
draws), and the paired differences to system 1 and to `raw`, with theirs. *machines too*: the difference to system 1
where the machines are drawn anew as well, indicative only. *alone*: a part by itself; *without*: system 5 with that
part taken out, the others counting as before. *mean*, over seeds: of the differences with the 95 % interval of
Student's t, in which each seed, with machines of its own, counts once.
"""
MAKERS = {"real_challenge": ("lay_out.py", "real_challenge"), "emulated": ("emulate.py", "real")}  # tool, recordings
SYSTEMS = ("system1", "system5")
TITLES = {"omega": "Ω official", "omega_own": "Ω own-domain"}
SHOWN = (*SYSTEMS, "raw")  # by machine


def data_sets(name, seeds, machines):
    """Return a dict from the name of each data set of a section to its settings; recordings are made if need be."""
    if name == "simulated":
        kinds = f"_{len(machines)}_machines" if machines else ""
        factory = {"factory": {"machines": machines}} if machines else {}
        return {f"simulated_{seed}{kinds}": {"seed": seed, **factory} for seed in seeds}
    tool, source = MAKERS[name]
    place = ROOT / "data" / name
    if not place.is_dir():
        half = place.with_name(name + ".part")
        command = [sys.executable, SHARED / "tools" / tool, SHARED / source, half, "--seed", "0"]
        subprocess.run(command, check=True)
        half.rename(place)
    return {name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))}


def run(name, settings, cores):
    """Run the workflow on a data set and return its results folder."""
    folder = FOLDER / name
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    path = ROOT / folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings | {"results": str(folder)}), encoding="utf-8")
    targets = [str(folder / system / "eval.csv") for system in SYSTEMS]
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", str(path), "-q"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return ROOT / folder


def variants(families, combine):
    """Return a dict from each variant of system 5 to its families and how they are put together."""
    found = {f"system5 by {other}": (families, other) for other in COMBINED if other != combine}
    for family, members in families.items():
        rest = {name: others for name, others in families.items() if name != family}
        found[f"alone: family {family}"] = {family: members}, combine
        found[f"without: family {family}"] = rest, combine
        for member in members if len(members) > 1 else ():
            found[f"alone: {member}"] = {family: [member]}, combine
            found[f"without: {member}"] = {**families, family: [name for name in members if name != member]}, combine
    return {name: {"families": given, "combine": how} for name, (given, how) in found.items()}


def sections(folder, place):
    """Return the sections of a results folder with the scores in ``place``."""
    clips = {path.stem: path for path in sorted((folder / "clips/test").glob("*.parquet"))}
    scores = {machine: folder / place / f"{machine}.parquet" for machine in clips}
    return [replace(part, machine=f"{part.machine} {folder.name}") for part in labelled_sections(clips, scores)]


def fused(folder, system, detectors):
    """Return the sections of a results folder as fused by a ``system`` of families."""
    members = sorted({name for family in system["families"].values() for name in family})
    residual = [name for name in members if any(view.endswith("/residual") for view in detectors[name]["views"])]
    for signals in sorted((folder / "signals").glob("*.json")):
        normalized = {name: folder / f"normalized/{name}/{signals.stem}.parquet" for name in members}
        path = folder / f"variant/{signals.stem}.parquet"
        path.parent.mkdir(exist_ok=True)
        training = path.with_suffix(".training")
        fuse_machine(
            normalized, path, training, system=system | {"residual": residual}, decision=DECISION, signals=signals
        )
    return sections(folder, "variant")


def all_sections(folders, config):
    """Return a dict from each system and variant to its sections in all ``folders``."""
    places = {name: f"{name}/scores" for name in SYSTEMS} | {"raw": "normalized/raw"}
    found = {name: [part for folder in folders for part in sections(folder, place)] for name, place in places.items()}
    for name, system in variants(**config["systems"]["system5"]).items():
        found[name] = [part for folder in folders for part in fused(folder, system, config["detectors"])]
    return found


def bracketed(draws, sign=""):
    """Return the first of the draws and its interval as text."""
    low, high = interval(draws)
    return f"{draws[0]:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def table(values, kind):
    """Return the table of a ``kind`` of Ω; values: dict from variant to the metrics under each draw."""
    drawn = {name: 100 * omega(draws, kind) for name, draws in values.items()}
    elsewhere = {name: 100 * omega(redraw_sections(draws, seed=0), kind) for name, draws in values.items()}
    rows = []
    for name, draws in drawn.items():
        differences = [bracketed(draws - drawn[other], "+") if name != other else "–" for other in ("system1", "raw")]
        wide = "{:+.1f} to {:+.1f}".format(*interval(elsewhere[name] - elsewhere["system1"]))
        rows.append([name, bracketed(draws), differences[0], wide if name != "system1" else "–", differences[1]])
    return markdown(rows, ["", f"{TITLES[kind]}", "− system 1", "machines too", "− raw"])


def by_machine(values, parts):
    """Return the table of AUC source, AUC target and pAUC of the SHOWN, a machine a row."""
    rows = [
        [part.machine, *(" ".join(f"{100 * value:.1f}" for value in values[name][0, i, :3]) for name in SHOWN)]
        for i, part in enumerate(parts)
    ]
    return markdown(rows, ["machine", *SHOWN])


def by_folder(values, parts):
    """Return the table of Ω official of the SHOWN, a results folder a row, and how far system 5 is from system 1."""
    folders = np.array([part.machine.rsplit(" ", 1)[1] for part in parts])
    names = list(dict.fromkeys(folders))
    found = 100 * np.array([[omega(values[name][0, folders == one]) for name in SHOWN] for one in names])
    differences = found[:, SHOWN.index("system5")] - found[:, SHOWN.index("system1")]
    low, high = stats.t.interval(0.95, len(names) - 1, differences.mean(), stats.sem(differences))
    cells = [*map("{:+.1f}".format, differences), f"{differences.mean():+.1f} [{low:+.1f}, {high:+.1f}]"]
    rows = zip([*names, "mean"], [*found, found.mean(axis=0)], cells, strict=True)
    rows = [[name, *map("{:.1f}".format, row), cell] for name, row, cell in rows]
    return markdown(rows, ["", *SHOWN, "system5 − system1"])


def main():
    """Run the workflow on the data sets and write their section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", choices=[*MAKERS, "simulated"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--machines", nargs="+", help="of the simulated factory, in place of the configuration's")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    wanted = data_sets(arguments.data, arguments.seeds, arguments.machines)
    folders = [run(*one, arguments.cores) for one in wanted.items()]
    found = all_sections(folders, config)
    values = {name: resample(parts, seed=0, resamples=2000) for name, parts in found.items()}
    tables = [table(values, kind) for kind in OMEGA]
    if arguments.data == "simulated":
        title = f"simulated, {len(arguments.machines or config['factory']['machines'])} machines, seeds "
        title += " ".join(map(str, arguments.seeds))
        rows = ["Ω official by seed:", by_folder(values, found["raw"])]
    else:
        title = arguments.data
        rows = ["AUC source, AUC target, pAUC, official:", by_machine(values, found["raw"])]
    text = "\n\n".join([tables[0], *rows, tables[1]])
    write_section(Path(__file__).with_name("hearing.md"), HEAD, title, text)


if __name__ == "__main__":
    main()
