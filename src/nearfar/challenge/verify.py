"""What a data set holds, and what of it is not as expected."""

import csv
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.data.audio import RATE, content
from nearfar.data.channels import doubts
from nearfar.data.clips import gathered, refuse_longer, refuse_unusable
from nearfar.data.dataset import SPLITS, refuse_unreadable, wav_files
from nearfar.data.names import HIDDEN, Name, attribute_pairs, parse
from nearfar.errors import NearfarError, one_line
from nearfar.jobs.files import write_text
from nearfar.jobs.progress import bar
from nearfar.systems.tables import markdown

Folders = Mapping[str, str | Path]  # a machine's name to its folder
Expected = Mapping[str, dict[str, Any]]  # a machine's name to what nearfar.challenge.sets.expected says of it
Clips = dict[tuple[str, str], tuple[Name, float]]  # (split, file) to what the name says, and seconds
Fault = tuple[str | Path, str]  # where, and what
COLUMNS = ("machine", "source train", "target train", "test", "labelled", "seconds", "attributes")


def write_summary(folders: Folders, expected: Expected, path: str | Path) -> None:
    """Write the summary of the machines' folders as Markdown to ``path``, and say on the terminal what it finds."""
    text, faults = summary(folders, expected)
    write_text(path, text)
    print(f"nearfar: {path}: {said(faults)}", flush=True)


def said(faults: Sequence[str]) -> str:
    """Return in a few words how many things are not as expected."""
    return f"{len(faults)} not as expected" if faults else "all is as expected"


def summary(folders: Folders, expected: Expected) -> tuple[str, list[str]]:
    """Return the Markdown text on what is there, and the list of what is not as expected, a line each.

    folders: dict from machine to folder; expected: dict from machine to what nearfar.challenge.expected says of it,
    and nothing of a machine whose clips only have to be usable.
    """
    rows, faults, doubtful = [], [], []
    for machine, folder in bar(folders.items(), "verify", "machine"):
        clips, wrong, odd = inspect(folder)
        if clips or not wrong:  # else the faults say why there is none
            wrong += attribute_faults(folder, clips)
            wrong += unexpected(folder, clips, expected[machine]) if machine in expected else unusable(folder, clips)
        rows.append(_row(machine, clips))
        faults += gathered(wrong)
        doubtful += gathered(odd)
    lines = "\n".join([*(f"- {fault}" for fault in faults), *(f"- warning: {doubt}" for doubt in doubtful)])
    return f"# Data\n\n{markdown(rows, COLUMNS)}\n\n{said(faults).capitalize()}.\n\n{lines}".strip() + "\n", faults


def inspect(folder: str | Path) -> tuple[Clips, list[Fault], list[Fault]]:
    """Return the clips of a machine's folder, the faults of the others, and what is doubtful of the clips.

    Clips: dict from (split, file) to (Name, seconds); faults and doubts: (place, text) pairs, those of the clip table.
    """
    clips, contents, faults = {}, {}, _refusal(refuse_unreadable, folder)
    there = [(split, file) for split in SPLITS for file in wav_files(folder, split)]
    for split, file in there:
        path = Path(folder, split, file)
        try:
            name, contents[path] = parse(file, split), content(path)
        except NearfarError as error:
            faults.append((path, re.sub(rf"^(.*/)?{re.escape(one_line(file))}: ", "", str(error))))
            continue
        clips[split, file] = name, contents[path].frames / RATE
    usual = np.median([seconds for (split, _), (_, seconds) in clips.items() if split == "train"] or [0.0])
    faults += _refusal(refuse_longer, {path: clip.frames / RATE for path, clip in contents.items()}, float(usual))
    return clips, faults, doubts(contents)


def attribute_faults(folder: str | Path, clips: Clips) -> list[Fault]:
    """Return (place, fault) pairs where attributes_00.csv, if there is one, says other than the clips' names."""
    table = Path(folder, "attributes_00.csv")
    if not os.path.isfile(table):
        return []
    try:
        rows = _rows(table)
    except NearfarError as error:
        return [tuple(str(error).split(": ", 1))]
    faults, listed = [], set()
    for number, (file, *cells) in enumerate(rows, 2):
        clip = tuple(Path(file).parts[-2:])
        place = f"{table}, line {number}"
        listed.add(clip)
        pairs = [pair for pair in zip(cells[::2], cells[1::2], strict=False) if pair[0] not in ("", HIDDEN)]
        if clip not in clips:
            faults.append((place, f"{file} is not there, or no clip"))
        elif pairs != attribute_pairs(clips[clip][0].attribute):
            faults.append((place, f"{' '.join(map('='.join, pairs)) or 'nothing'} is not what the clip's name says"))
    named = [clip for clip, (name, _) in clips.items() if name.domain]  # a table cannot tell on unlabelled clips
    return faults + [(Path(folder, *clip), f"has no line in {table.name}") for clip in named if clip not in listed]


def unusable(folder: str | Path, clips: Clips) -> list[Fault]:
    """Return a (place, fault) pair where the clips do not suffice for a clip table."""
    faults = []
    for split in SPLITS:
        rows = [name._asdict() for name, _ in clips.values() if name.split == split]
        faults += _refusal(refuse_unusable, Path(folder).name, folder, split, rows)
    return faults


def unexpected(folder: str | Path, clips: Clips, expected: dict[str, Any]) -> list[Fault]:
    """Return (place, fault) pairs for numbers, lengths and attributes of clips other than ``expected``."""
    found = Counter(_kind(name) for name, _ in clips.values())
    wanted = expected["clips"]
    faults = [
        (folder, f"{found[kind]} {kind} clips, not {wanted.get(kind, 0)}")
        for kind in sorted(found | wanted)
        if found[kind] != wanted.get(kind, 0)
    ]
    for clip, (name, seconds) in clips.items():
        path, keys = Path(folder, *clip), [key for key, _ in attribute_pairs(name.attribute)]
        if seconds not in expected.get("seconds", [seconds]):
            faults.append((path, f"lasts {seconds:g} s, not {_or(expected['seconds'])}"))
        if name.domain and keys != expected.get("attributes", keys):
            faults.append((path, f"has attributes {_listed(keys)}, not {_listed(expected['attributes'])}"))
    return faults


def _refusal(refuse, *arguments):
    """Return the (place, fault) pair of what ``refuse`` raises, if it does."""
    try:
        refuse(*arguments)
    except NearfarError as error:
        return [tuple(str(error).split(": ", 1))]
    return []


def _rows(table):
    """Return the rows of a csv file below its header, empty ones left out."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row][1:]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise NearfarError(f"{table}: not a csv file in UTF-8 that may be read; unpack the archive again") from None


def _kind(name):
    """Return the key of a clip in the expected numbers, such as source_train_normal, or test where it is unlabelled."""
    return f"{name.domain}_{name.split}_{name.label}" if name.domain else name.split


def _or(values):
    return " or ".join(f"{value:g}" for value in values)


def _listed(keys):
    return " ".join(keys) or "hidden"


def _row(machine, clips):
    """Return the cells of COLUMNS for the clips of a machine."""
    names = [name for name, _ in clips.values()]
    train = Counter(name.domain for name in names if name.split == "train")
    test = [name for name in names if name.split == "test"]
    values = Counter(" ".join(key for key, _ in attribute_pairs(name.attribute)) for name in names if name.domain)
    seconds = sorted({seconds for _, seconds in clips.values()})
    labelled = sum(name.label is not None for name in test)
    lengths = ", ".join(f"{s:g}" for s in seconds[:4]) + (", …" if len(seconds) > 4 else "")
    counts = map(str, (train["source"], train["target"], len(test), labelled))
    return (one_line(machine), *counts, lengths, " / ".join(key or _listed([]) for key in values))
