"""What damaged files of every kind that comes from outside lead to: writes benchmarks/fuzz.md.

    .venv/bin/python benchmarks/fuzz.py

From sound files of a kind are made as many damaged ones as CASES says, always the same ones. Each must be refused in
one line (NearfarError), or be read rightly; what rightly means is said at each kind.
"""

import csv
import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml
from page import write_section
from project import ROOT

from nearfar.errors import NearfarError
from nearfar.systems.tables import COLUMNS, markdown

SEED, LONGEST = 0, 10  # s of a case; a case that takes longer hangs
WAVS = (  # container, subtype, endian
    *(
        ("WAV", "PCM_16", "LITTLE"),
        ("WAV", "PCM_24", "BIG"),
        ("WAVEX", "FLOAT", "LITTLE"),
        ("RF64", "PCM_16", "LITTLE"),
    ),
    *(("W64", "PCM_16", "LITTLE"), ("W64", "FLOAT", "LITTLE"), ("AIFF", "PCM_24", "BIG"), ("AIFF", "FLOAT", "FILE")),
)
WELL, ILL = ("one line", "accepted and right", "Snakemake refuses"), ("accepted and wrong", "traceback", "hang")
HEAD = """# Damaged files

Made by `benchmarks/fuzz.py`; do not edit. Each case is refused in one line, or accepted; whether it is right what was
made of it then, is compared with the sound file (wavs: every sample; zips: every file) or computed once more by other
means (csvs: scikit-learn's AUC of what Python's csv reads; configurations: every detector can be made, weights sum to
one, no key stands twice). Seconds and memory are those of the process that went through all cases of a kind, imports
included.
"""


def damaged(content, rng, first, last):
    """Return bytes that are changed, cut, put in or taken out between ``first`` and ``last``."""
    content, how = bytearray(content), rng.choice(["change", "change", "change", "cut", "put in", "take out", "add"])
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(first, min(last, len(content)) or 1)
        if how == "change":
            content[place] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256), content[place] ^ 1 << rng.randrange(8)])
        elif how == "put in":
            content[place:place] = rng.randbytes(rng.choice([1, 2, 4, 8, 100]))
        elif how == "take out":
            del content[place : place + rng.choice([1, 2, 4, 8, 100])]
    if how == "cut":
        del content[rng.randrange(len(content)) :]
    if how == "add":
        content += rng.choice(
            [b"\0", rng.randbytes(rng.randrange(1, 50)), b"LIST\4\0\0\0INFO", b"data\4\0\0\0\1\2\3\4"]
        )
    return bytes(content)


def wavs(folder, rng):
    """Yield cases: a clip with a damaged header or body. Right: no sample differs, but for those that were changed."""
    import soundfile

    from nearfar.data.audio import read_clip

    noise = np.clip(np.random.default_rng(SEED).normal(0, 0.1, (1000, 2)), -1, 1)
    whole = []
    for number, (container, subtype, endian) in enumerate(WAVS):
        path = folder / f"{number}.wav"
        soundfile.write(path, noise, 16000, format=container, subtype=subtype, endian=endian)
        content, wave = path.read_bytes(), soundfile.read(path, dtype="float32")[0]
        whole.append(
            (content, len(content) - wave.size * (3 if "24" in subtype else 2 if "16" in subtype else 4), wave)
        )
    path = folder / "clip.wav"
    while True:
        content, body, wave = rng.choice(whole)
        first, last = (0, body) if rng.random() < 0.8 else (body, len(content))
        path.write_bytes(made := damaged(content, rng, first, last))
        touched = sum(a != b for a, b in zip(content, made, strict=False)) if first and len(made) >= len(content) else 0

        def case(wave=wave, touched=touched):
            found = read_clip(path)
            return found.shape == wave.shape and (found != wave).any(1).sum() <= touched

        yield case


def zips(folder, rng):
    """Yield cases: a submission's zip that is damaged. Right: it holds the files of the sound one."""
    from nearfar.challenge.check import check
    from nearfar.challenge.package import Package

    path = submission(folder)
    content, files = path.read_bytes(), Package(path).files
    if check(path).total:
        raise SystemExit("\n".join(check(path).breaches))
    while True:
        directory = content.index(b"PK\1\2")
        first, last = rng.choice([(0, len(content)), (directory, len(content)), (0, 60)])
        path.write_bytes(damaged(content, rng, first, last))

        def case():
            if found := check(path).breaches:
                raise NearfarError("".join(line if line.isprintable() else "\n" for line in found))
            return Package(path).files == files

        yield case


def submission(folder):
    """Return the path of a sound submission of one system, two machines."""
    from nearfar.challenge.metadata import describe
    from nearfar.challenge.submission import write_system, write_zip
    from nearfar.jobs.files import write_arrays, write_table, write_text

    config = defaults()
    about = config["submission"] | {"label": "Jeong_Medisensing", "systems": ["system1"]}
    scores = {machine: folder / f"{machine}.parquet" for machine in ("fan", "saw")}
    for path in scores.values():
        score = np.random.default_rng(SEED).random(20)
        write_table(
            path, {"file": [f"section_00_{i:04d}.wav" for i in range(20)], "score": score, "decision": score > 0.5}
        )
    write_text(folder / "eval.csv", ",".join(COLUMNS) + f"\nfan,00{',50' * 10}\nsaw,00{',50' * 10}\nall,{',50' * 10}\n")
    write_arrays(folder / "fit.safetensors", {"a": np.zeros(3)})
    used = {"mahalanobis": config["detectors"]["mahalanobis"]}
    named = {"system": "system1", "about": about, "description": describe(used, config["features"])}
    models, table = [folder / "fit.safetensors"], folder / "eval.csv"
    write_system(list(scores), list(scores.values()), folder / "system1", models=models, table=table, **named)
    write_zip([folder / "system1"], folder / "submission.zip", label=about["label"], report=None)
    return folder / "submission.zip"


def csvs(folder, rng):
    """Yield cases: damaged scores or truth. Right: the AUCs are those of what Python's csv reads, by scikit-learn."""
    from nearfar.systems.score_folder import evaluate_folder

    path, truth = folder / "anomaly_score_fan_section_00_test.csv", folder / "truth/fan.csv"
    truth.parent.mkdir()
    names = [f"section_00_{i:04d}.wav" for i in range(40)]
    scores = "".join(f"{name},{random.Random(name).random()}\n" for name in names)
    labels = "file,label,domain\n" + "".join(
        f"{name},{('normal', 'anomaly')[i % 2]},{('source', 'target')[i // 2 % 2]}\n" for i, name in enumerate(names)
    )
    while True:
        path.write_bytes(rows_damaged(scores, rng) if (first := rng.random() < 0.6) else scores.encode())
        truth.write_bytes(labels.encode() if first else rows_damaged(labels, rng))

        def case():
            table = list(csv.DictReader(evaluate_folder(folder, truth.parent).splitlines()))[0]
            return np.allclose([float(table[name]) for name in ("auc_source", "auc_target", "pauc")], aucs(path, truth))

        yield case


def rows_damaged(text, rng):
    """Return the bytes of a csv with a damaged row, or with damaged bytes."""
    if rng.random() < 0.3:
        return damaged(text.encode(), rng, 0, len(text))
    rows = text.split("\n")
    i, j = rng.sample(range(len(rows) - 1), 2)
    odd = [
        "nan",
        "inf",
        "1e999",
        "",
        " 0.5",
        "0,5",
        '"0.5"',
        "0x1",
        "1_0",
        "normal",
        "anomaly",
        "0",
        "²",
        "−1",
        "1" * 5000,
    ]
    rows[i] = rng.choice(
        [rows[j], "", " ", "#", rows[i] + "\r", '"' + rows[i], rows[i].replace(",", rng.choice(";\t ")), "a" * 200_000]
        + [",".join([rows[i].split(",")[0], rng.choice(odd), *rows[i].split(",")[2:]]) for _ in range(8)]
    )
    return rng.choice(["", "", "", "\ufeff", "\0"]).encode() + rng.choice(["\n", "\n", "\r\n"]).join(rows).encode()


def aucs(path, truth):
    """Return the official AUCs and pAUC in percent, rounded as a table has them."""
    from sklearn.metrics import roc_auc_score

    read = [list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines())) for file in (path, truth)]
    scores = {row[0]: float(row[1]) for row in read[0] if row}
    rows = [row for row in read[1] if row and row[0] != "file"]
    if not len(read[0]) == len(scores) == len({row[0] for row in rows}) == len(rows):
        return [-1] * 3
    score = np.array([scores[row[0]] for row in rows])
    anomalous = np.array([{"normal": 0, "anomaly": 1, "0": 0, "1": 1}[row[1]] for row in rows])
    source = np.array([row[2] == "source" for row in rows])
    of = [roc_auc_score(anomalous[part], score[part]) for part in ((anomalous > 0) | source, (anomalous > 0) | ~source)]
    return [round(100 * value, 2) for value in (*of, roc_auc_score(anomalous, score, max_fpr=0.1))]


def defaults():
    """Return all of the default configuration."""
    config = {}
    for part in ("submission", "pretraining", "config"):
        config |= yaml.safe_load((ROOT / f"config/{part}.yaml").read_text(encoding="utf-8"))
    return config


def configurations(folder, rng):
    """Yield cases: a config.yaml with another value, key or line, or with damaged bytes, over the default one.

    Right: no key stands twice, every detector can be made of its parameters, and the weights of every system sum to 1.
    """
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    from nearfar import settings

    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text(encoding="utf-8"))
    text, path = (ROOT / "config/config.yaml").read_text(encoding="utf-8"), folder / "config.yaml"
    while True:
        path.write_bytes(settings_damaged(text, rng))

        def case():
            settings.refuse_repeated_keys(path)
            config = defaults()
            try:
                update_config(config, load_configfile(path))
            except Exception as error:  # in one line or not: it reads a configuration before nearfar is asked
                raise Unread from error
            settings.check(config, schema)
            return usable(config)

        yield case


def settings_damaged(text, rng):
    """Return the bytes of a configuration in which something is not as it was."""
    lines, how = text.split("\n"), rng.choice(["value", "value", "value", "key", "line", "indent", "bytes"])
    odd = [".nan", ".inf", "-1", "0", "1.5", "1e-3", "1.0e-3", "2.0", "true", "null", "[]", "{}", "[1]", "x", "''", "~"]
    odd += [
        "!!int x",
        "&a [*a]",
        "!!python/name:os.system",
        "9" * 30,
        "raw",
        "0x10",
        "1:30",
        "2026-01-01",
        "run{1}",
        "é",
    ]
    for _ in range(rng.choice([1, 1, 2])):
        i = rng.choice([i for i, line in enumerate(lines) if re.match(r" *[\w-]+: *\S", line)])
        key, value = lines[i].split(":", 1)
        if how == "value":
            words = re.findall(r"[^\s{}\[\],:#]+", value.split(" #")[0]) or [" "]
            lines[i] = f"{key}:{value.replace(rng.choice(words), rng.choice(odd), 1)}"
        elif how == "key":
            lines[i] = f"{key[:-1]}{rng.choice('xyz ')}:{value}"
        elif how == "line":
            lines.insert(rng.randrange(len(lines)), lines[i])
        elif how == "indent":
            lines[i] = rng.choice([" ", "  ", "\t", "- "]) + lines[i]
    content = "\n".join(lines).encode()
    return damaged(content, rng, 0, len(content)) if how == "bytes" else content


def usable(config):
    """Return whether what the workflow makes of a configuration first can be made of it."""
    import importlib

    from nearfar import settings
    from nearfar.systems.weights import weights_of

    for name, about in config["detectors"].items():
        method = importlib.import_module(f"nearfar.detectors.methods.{about['method']}").Detector
        seed = {"seed": 0} if about["method"] == "flow" else {}
        method(**seed, **settings.parameters_of(config, name))
    weighted = [system["weights"] for system in config["systems"].values() if "weights" in system]
    sums = [sum(weights_of(weights, config["core"]).values()) for weights in weighted]
    return np.allclose(sums, 1)


CASES = {"wavs": (wavs, 400), "zips": (zips, 100), "csvs": (csvs, 100), "configurations": (configurations, 1000)}


class Unread(Exception):
    """What Snakemake does not read never comes to nearfar."""


def outcome(case):
    """Return how a case ends, of WELL and ILL, and what it said."""
    signal.alarm(LONGEST)
    try:
        return ("accepted and right" if case() else "accepted and wrong"), ""
    except NearfarError as error:
        return ("traceback" if "\n" in str(error) else "one line"), str(error)
    except Unread:
        return "Snakemake refuses", ""
    except TimeoutError as error:
        return "hang", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def late(*_):
    """End a case that takes too long."""
    raise TimeoutError("too long")


def go_through(kind):
    """Print how the cases of a kind end, as JSON; keep the file of one that does not end well."""
    signal.signal(signal.SIGALRM, late)
    make, count = CASES[kind]
    found, start = Counter(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, case in zip(range(count), make(Path(folder), random.Random(SEED)), strict=False):
            how, said = outcome(case)
            found[how] += 1
            if how in ILL:
                print(kind, number, how, said[:300], file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found | {"s": f"{time.perf_counter() - start:.0f}", "MiB": peak}))


def main():
    """Go through every kind in a process of its own, and write the page; exit status 1 where one ended ill."""
    if sys.argv[1:]:
        return go_through(sys.argv[1])
    rows, ill = [], 0
    for kind, (_, count) in CASES.items():
        done = subprocess.run([sys.executable, __file__, kind], stdout=subprocess.PIPE, check=True, timeout=900)
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append([kind, count, *(found.get(name, 0) for name in WELL + ILL), found["s"], found["MiB"]])
        ill += sum(found.get(name, 0) for name in ILL)
    table = markdown(rows, ["kind", "cases", *WELL, *ILL, "s", "peak, MiB"])
    write_section(Path(__file__).with_name("fuzz.md"), HEAD, f"Seed {SEED}", table)
    return sys.exit(bool(ill))


if __name__ == "__main__":
    main()
