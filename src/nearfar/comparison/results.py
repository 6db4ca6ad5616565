"""Two results folders side by side: Ω of each system and machine that both have, and what the difference is worth."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfar.comparison.bootstrap import interval, resample
from nearfar.data.documents import read_bytes
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.faults import fault_of
from nearfar.systems.metrics import METRICS, omega, section_metrics
from nearfar.systems.sections import Section, labelled_sections
from nearfar.systems.tables import COLUMNS, NOT_SCORED, ONE_DOMAIN, markdown

EXPLAINED = """\
Ω official, percent; the difference is the second less the first. In brackets its 95 % interval of a paired bootstrap
over clips ({resamples:,} draws), where both folders hold scores of the same clips."""


@dataclass(frozen=True, eq=False)
class Row:
    """A machine's section in a results folder: its METRICS (5,) as fractions, and its clips where scores are there.

    METRICS of a domain that it has no clip of are NaN.
    """

    metrics: np.ndarray
    part: Section | None = None


def is_results(folder: str | Path) -> bool:
    """Return whether a folder is the results of a run: whether it has a system with scores or a table."""
    return bool(_systems(folder))


def compare_results(folders: Sequence[str], truth: str | None = None, *, seed: int = 0, resamples: int = 2000) -> str:
    """Return a Markdown page that sets two results folders against each other.

    truth: None, as results know theirs. Raises NearfarError for other than two results folders, for folders that have
    no system and machine in common, and where scores and clips do not match.
    """
    for folder in folders:
        if not is_results(folder):
            raise NearfarError(f"{folder}: no <system>/eval.csv or <system>/scores in it; give two results folders")
    if len(folders) != 2:
        raise NearfarError(f"{folders[0]}: results are compared in pairs, here are {len(folders)}; give two folders")
    if folders[0] == folders[1]:
        raise NearfarError(f"{folders[0]}: given twice; name each folder once")
    if truth:
        raise NearfarError(f"{truth}: results know their clips' truth; leave --truth out")
    one, other = ({system: _rows(Path(folder, system)) for system in _systems(folder)} for folder in folders)
    blocks = [f"# {folders[0]} and {folders[1]}", EXPLAINED.format(resamples=resamples)]
    common = [system for system in one if one[system].keys() & other.get(system, {}).keys()]
    if not common:
        has = "; ".join(f"{folder} has {_named(found)}" for folder, found in zip(folders, (one, other), strict=True))
        raise NearfarError(f"no system and machine in common: {has}; compare runs of the same machines")
    for system in common:
        rows = _side_by_side(one[system], other[system], seed, resamples)
        blocks += [f"## {system}", markdown(list(rows), ["machine", *folders, "difference"])]
    if alone := _of_one_domain(one, other, common):
        blocks.append(f"{ONE_DOMAIN}: {', '.join(alone)}.")
    left = [line for pair in ((folders[0], one, other), (folders[1], other, one)) for line in _alone(*pair)]
    return "\n\n".join([*blocks, *(["\n".join(left)] if left else [])]) + "\n"


def _systems(folder):
    """Return the names of the systems that a results folder has, sorted."""
    scores = {path.parents[1].name for path in Path(folder).glob("*/scores/*.parquet")}
    return sorted(scores | {path.parent.name for path in Path(folder).glob("*/eval.csv")})


def _rows(system: Path) -> dict[tuple[str, str], Row]:
    """Return the rows of a system's folder by machine and section, from its scores where they are there."""
    scores = {path.stem: path for path in sorted((system / "scores").glob("*.parquet")) if fault_of(path) is None}
    clips = {machine: system.parent / "clips/test" / f"{machine}.parquet" for machine in scores}
    if scores and all(path.is_file() for path in clips.values()):
        with error_prefix(system):
            parts = labelled_sections(clips, scores)
        metrics = [section_metrics(part.score, part.anomalous, part.target)[0] for part in parts]
        return {(part.machine, part.section): Row(row, part) for part, row in zip(parts, metrics, strict=True)}
    if not (table := system / "eval.csv").is_file():
        return {}
    with error_prefix(table):
        return _read_table(read_bytes(table).decode(errors="replace"))


def _read_table(text):
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row.get("machine") != NOT_SCORED]
    try:
        found = {(row["machine"], row["section"]): Row(np.array([_fraction(row[m]) for m in METRICS])) for row in rows}
    except (KeyError, TypeError, ValueError):
        raise NearfarError(f"not a table of Ω ({', '.join(COLUMNS[:6])} …); make it again") from None
    found.pop(("all", ""), None)
    return found


def _fraction(cell):
    return float("nan" if cell == "" else cell) / 100


def _side_by_side(one: dict, other: dict, seed: int, resamples: int) -> Iterator[list[str]]:
    """Yield the cells of each machine that both have, and of all these."""
    keys = [key for key in one if key in other]
    pairs = [_draws(one[key], other[key], seed, resamples) for key in keys]
    for (machine, section), pair in zip(keys, pairs, strict=True):
        yield [machine if section in ("", "00") else f"{machine} {section}", *_cells(pair)]
    fewest = min(len(pair[0]) for pair in pairs)  # 1 where a machine's clips are not the same: then no interval
    yield ["all", *_cells([np.concatenate([pair[i][:fewest] for pair in pairs], axis=1) for i in (0, 1)])]


def _draws(one, other, seed, resamples):
    """Return the METRICS of a section in both folders under the same draws, (draws, 1, 5) each; unpaired one draw."""
    if _same_clips(one.part, other.part):
        return [resample([row.part], seed=seed, resamples=resamples) for row in (one, other)]
    return [row.metrics[None, None] for row in (one, other)]


def _same_clips(one, other):
    if one is None or other is None:
        return False
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("file", "anomalous", "target"))


def _cells(pair):
    one, other = map(omega, pair)
    difference = f"{100 * (other[0] - one[0]):+.2f}"
    if len(one) > 1:
        low, high = 100 * interval(other - one)
        difference += f" [{low:+.1f}, {high:+.1f}]"
    return [f"{100 * one[0]:.2f}", f"{100 * other[0]:.2f}", difference]


def _of_one_domain(one, other, systems):
    """Return the machines, of those that both have, one of whose sections has clips of one domain only."""
    machines = {}
    for system in systems:
        for key in one[system].keys() & other[system].keys():
            if any(np.isnan(found[system][key].metrics).any() for found in (one, other)):
                machines[key[0]] = None
    return sorted(machines)


def _named(found):
    machines = dict.fromkeys(machine for rows in found.values() for machine, _ in rows)
    return f"{', '.join(found)} of {', '.join(machines) or 'no machine with labels'}"


def _alone(folder, mine, theirs):
    """Yield lines about what one folder has and the other has not."""
    if systems := [system for system in mine if system not in theirs]:
        yield f"Only in {folder}: {', '.join(systems)}."
    for system in sorted(mine.keys() & theirs.keys()):
        if machines := dict.fromkeys(machine for machine, _ in mine[system].keys() - theirs[system].keys()):
            yield f"Only in {folder}, of {system}: {', '.join(sorted(machines))}."
