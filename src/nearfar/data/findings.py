"""What an import understood of a folder, in words, and what to type next."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import soundfile
import yaml

from nearfar.data.clips import gathered
from nearfar.data.importing import UNREADABLE, Fault, Machines
from nearfar.data.layouts import Clip
from nearfar.errors import one_line

SAMPLE = 20  # recordings whose headers are read: enough to tell how the others were made
LONG = 30.0  # seconds: what lasts longer is cut into windows
WINDOW = 10.0  # seconds, of the challenge's clips
KINDS = 8  # of files passed over that are named
UNREAD = "no sound that can be read; copy it again or remove it"
COLUMNS = ("machine", "train", "test", "labelled", "domains", "attributes", "formats")


@dataclass(frozen=True)
class Headers:
    """What the headers of a sample say: channels, rates in Hz and lengths in seconds that occur; the unreadable."""

    channels: Sequence[int]
    rates: Sequence[int]
    seconds: Sequence[float]
    unreadable: Sequence[str]


def report(folder: str, out: str, machines: Machines, notes: Sequence[Fault], passed: Mapping[str, int]) -> str:
    """Return what nearfar.data.importing.import_folder understood and wrote to ``out``, and what to type next."""
    clips = [os.path.join(folder, clip.path) for of_machine in machines.values() for clip in of_machine]
    heard = headers(evenly(clips, SAMPLE))
    counted = f"{out}: {len(clips)} clips, {len(machines)} machine{'s' * (len(machines) > 1)}"
    table = aligned([COLUMNS, *(row(machine, clips) for machine, clips in machines.items())])
    lines = [*gathered(notes), *said_of_others(passed), *said_of_headers(heard)]
    return "\n\n".join(filter(None, [counted, table, "\n".join(lines), next_lines(out, heard)])) + "\n"


def evenly(paths: Sequence[str], most: int) -> list[str]:
    """Return at most so many of the paths, evenly over all."""
    count = min(most, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def headers(paths: Sequence[str]) -> Headers:
    """Return what the headers of recordings say."""
    known, unreadable = [], []
    for path in paths:
        try:
            known.append(soundfile.info(path))
        except (soundfile.SoundFileError, OSError):
            unreadable.append(path)
    return Headers(
        sorted({info.channels for info in known}),
        sorted({info.samplerate for info in known}),
        sorted({round(info.duration, 1) for info in known}),
        unreadable,
    )


def row(machine: str, clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the cells of COLUMNS for the clips of a machine; domains and attributes are of its training clips."""
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    domains = Counter(clip.domain for clip in train if clip.domain)
    attributes = {clip.attribute for clip in train if clip.attribute}
    endings = Counter(os.path.splitext(clip.path)[1].lower() for clip in clips)
    labelled = sum(bool(clip.label) for clip in test)
    counts = map(str, (len(train), len(test), labelled))
    return (machine, *counts, _counts(domains) or "one", str(len(attributes)), _counts(endings))


def _counts(numbers):
    return ", ".join(f"{name} {count}" for name, count in sorted(numbers.items()))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as a table for the terminal, its numbers at the right."""
    columns = [_padded(column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _padded(column):
    width, number = max(map(len, column)), all(cell.isdecimal() for cell in column[1:])
    return [cell.rjust(width) if number else cell.ljust(width) for cell in column]


def said_of_others(passed: Mapping[str, int]) -> list[str]:
    """Return lines on the files that are no recordings, or none that can be read, by their number and kind."""
    lost = {kind: count for kind, count in passed.items() if kind in UNREADABLE}
    other = Counter({kind: count for kind, count in passed.items() if kind not in UNREADABLE})
    named = [f"{count} {one_line(kind, 40)}" for kind, count in other.most_common(KINDS)]
    rest = other.total() - sum(count for _, count in other.most_common(KINDS))
    lines = [f"left out: {_counts(lost)}, which cannot be read; convert them to flac"] if lost else []
    return lines + ([f"passed over: {', '.join(named + [f'{rest} of other kinds'] * bool(rest))}"] if other else [])


def said_of_headers(heard: Headers) -> list[str]:
    """Return lines on the sample of headers."""
    lines = []
    if heard.channels:
        channels = " or ".join(map(str, heard.channels))
        microphones = ", one microphone" if one_microphone(heard) else ""
        rates = " or ".join(f"{rate} Hz" for rate in heard.rates)
        lengths = " to ".join(f"{seconds:g}" for seconds in sorted({heard.seconds[0], heard.seconds[-1]}))
        lines.append(f"of a sample: channels: {channels}{microphones}; {rates}; {lengths} s")
    return lines + gathered((path, UNREAD) for path in heard.unreadable)


def one_microphone(heard: Headers) -> bool:
    """Return whether all recordings of the sample have one channel."""
    return list(heard.channels) == [1]


def next_lines(out: str, heard: Headers) -> str:
    """Return the configuration that uses the table at ``out``, and the command that ranks its test clips."""
    data = {"clips": out}
    data |= {"far": None} if one_microphone(heard) else {}
    data |= {"window": WINDOW, "hop": WINDOW} if heard.seconds and heard.seconds[-1] > LONG else {}
    flow = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    system = "mono" if one_microphone(heard) else "system5"
    return f"""Write into a file mine.yaml

    results: results/mine
    data: {flow.strip()}

and type

    .venv/bin/snakemake --cores 8 results/mine/{system}/ranking.csv --configfile mine.yaml"""
