"""What `make run` makes of a run that was killed, again and again: writes benchmarks/chaos.md.

    .venv/bin/python benchmarks/chaos.py

Copies of the workflow simulate a small factory and run to system 1. In some a run is killed soon after a job of the
next rule has begun, in others at any moment; `make run` is all that follows, up to the next kill. When none is left it
runs to the end, and its results are compared with those of a copy that nobody killed.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import yaml
from page import write_section
from project import ROOT

from nearfar.systems.tables import markdown

PARTS = ("rules", "src", "workflow", "resources", "profiles", "config", "envs")
FILES = ("Snakefile", "Makefile", "pyproject.toml")
SEED, AT_RANDOM = 0, 5  # kills at any moment, for each way to kill
LATEST = {"stage": 0.5, "moment": 40.0}  # s after the job's or the run's begin
LONGEST = 600  # s of one run
HOW = {"group": "make and all that it started", "main": "Snakemake's process alone"}
HEAD = """# Runs that are killed

Made by `benchmarks/chaos.py`; do not edit. Each run ends by SIGKILL and is followed by `make run`, nothing else.
"""


def copied(folder):
    """Return a copy of the workflow in ``folder``, with a small configuration and an environment that is set up."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder)
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["factory"] |= {"machines": ["fan", "slider"], "seconds": 2.0, "train_source": 60, "test": 6}
    config["features"]["eat"]["adapter"] |= {"epochs": 1}
    config["features"]["lccr"]["train"] |= {"epochs": 3}
    for method in ("flow", "predictive"):
        config["methods"][method] |= {"components": 32}
    path.write_text(yaml.safe_dump(config))
    (folder / ".venv").mkdir()
    for entry in (ROOT / ".venv").resolve().iterdir():
        if entry.name != ".ready":
            (folder / ".venv" / entry.name).symlink_to(entry)
    (folder / ".venv/.ready").touch()
    return folder


def started(folder):
    """Start `make run` in a process group of its own; what it prints goes to a file beside the folder."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    with open(folder.with_suffix(".txt"), "w", encoding="utf-8") as printed:
        return subprocess.Popen(
            ["make", "run", "CORES=2"],
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(run, how):
    """Kill a run: its group, or the process of Snakemake, after which make and the jobs must end by themselves."""
    if how == "group":
        os.killpg(run.pid, signal.SIGKILL)
    else:  # make has one child at a time: the recovery, Snakemake or the table
        listed = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    run.wait()


def begun(folder, since):
    """Return a dict from the log of each job that has begun ``since`` then (ns) to whether it has ended."""
    found = {}
    for log in folder.glob("results/logs/**/*.log"):
        if log.stat().st_mtime_ns >= since:
            found[log] = log.read_text(encoding="utf-8").endswith("done\n")
    return found


def rule_of(log, folder):
    """Return the rule of a job by its log: logs/<rule>.log or logs/<rule>/<wildcards>.log."""
    return Path(log.relative_to(folder / "results/logs").parts[0]).stem


def killed(folder, how, rng, rules):
    """Run until a job of ``rules`` has begun, or without them for some seconds, then kill; return the open jobs' rules.

    Return None where the run ended by itself before, of which the exit status must be 0.
    """
    since, run = time.time_ns(), started(folder)
    deadline = time.monotonic() + (LONGEST if rules else rng.uniform(0, LATEST["moment"]))
    while run.poll() is None and time.monotonic() < deadline:
        if rules and any(rule_of(log, folder) in rules for log in begun(folder, since)):
            time.sleep(rng.uniform(0, LATEST["stage"]))
            break
        time.sleep(0.02)
    if run.poll() is not None:
        return refuse_failed(folder, run)
    kill(run, how)
    return sorted({rule_of(log, folder) for log, ended in begun(folder, since).items() if not ended})


def refuse_failed(folder, run):
    """End all with what a run printed that did not end well by itself: a manual step would be due."""
    if run.wait(LONGEST):
        raise SystemExit(f"make run has failed: {folder.with_suffix('.txt').read_text(encoding='utf-8')[-2000:]}")


def completed(folder):
    """Run to the end; return the sha256 of every result by its path, logs and benchmarks left out."""
    refuse_failed(folder, started(folder))
    results = folder / "results"
    files = [path for path in results.rglob("*") if path.is_file()]
    names = [str(path.relative_to(results)) for path in files]
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in zip(names, files, strict=True)
        if not name.startswith(("logs/", "benchmarks/"))
    }


def rules_in_order(folder):
    """Return the rules of a run that has ended, in the order in which their first jobs ended."""
    logs = sorted(folder.glob("results/logs/**/*.log"), key=lambda log: log.stat().st_mtime_ns)
    return list(dict.fromkeys(rule_of(log, folder) for log in logs))


def plans(rules):
    """Yield (how, for every kill the rules that bring it about) for each folder: a rule, or one after it."""
    for how in HOW:
        yield how, [rules[number:] for number in range(len(rules))]
        yield how, [[]] * AT_RANDOM


def main():
    """Kill, compare, and write the page; a difference ends it with exit status 1."""
    rng, hits, kills, differing, start = random.Random(SEED), Counter(), Counter(), [], time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        quiet = copied(Path(place, "quiet"))
        wanted, rules = completed(quiet), rules_in_order(quiet)
        seconds = [time.perf_counter() - start]
        for number, (how, plan) in enumerate(plans(rules)):
            folder = copied(Path(place, f"killed{number}"))
            for due in plan:
                hit = killed(folder, how, rng, due)
                print(number, how, *due[:1], hit, f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
                if hit is None:
                    break
                kills[how] += 1
                hits.update((how, one) for one in hit or ["between jobs"])
            found, left = completed(folder), [str(path) for path in folder.rglob("*.part")]
            differing += left + [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
        seconds.append(time.perf_counter() - start)
    facts = {
        "SIGKILLs": f"{sum(kills.values())}, {' and '.join(f'{kills[how]} of {what}' for how, what in HOW.items())}",
        "folders run to the end": number + 1,
        "manual steps": 0,  # one would have ended this
        "files of results compared with an undisturbed run's, in each": len(wanted),
        "of them different, missing, too many or left half-written": len(differing),
        "an undisturbed run, and all of it": " s, ".join(f"{value:.0f}" for value in seconds) + " s",
    }
    rows = [[rule, *(hits[how, rule] for how in HOW)] for rule in [*rules, "between jobs"]]
    text = f"""{markdown(facts.items(), ["", f"seed {SEED}"])}

How many kills met an open job of each rule, by what was killed:

{markdown(rows, ["rule", *HOW.values()])}"""
    write_section(Path(__file__).with_name("chaos.md"), HEAD, "`make run`, small factory", text)
    sys.exit("\n".join(differing) or 0)


if __name__ == "__main__":
    main()
