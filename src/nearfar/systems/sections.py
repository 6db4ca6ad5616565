"""The scored test clips of a machine's section: what evaluation and comparison start from."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Self

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.domains import present
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.faults import faults, without_faults
from nearfar.jobs.files import read_table

Truth = dict[str, tuple[str, str, str | None]]  # from a clip's file name to its section, label and domain


@dataclass(frozen=True, eq=False)
class Section:
    """The scored test clips of one section of a machine, in the order of their names.

    file: (clips,) of text; score: (clips,), higher is more anomalous; anomalous, target: (clips,) booleans; decision:
    (clips,) of 0 | 1, or None.
    """

    machine: str
    section: str
    file: np.ndarray
    score: np.ndarray
    anomalous: np.ndarray
    target: np.ndarray
    decision: np.ndarray | None = None

    @property
    def absent(self) -> list[str]:
        """The domains, source and target, that it has no clip of: one at most."""
        return [domain for domain, there in (("source", ~self.target), ("target", self.target)) if not there.any()]

    def with_scores(self, score: np.ndarray) -> Self:
        """Return the same clips with other scores (clips,)."""
        return replace(self, score=score)


def scored(
    machines: Sequence[str], paths: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[dict[str, str]]], dict[str, str]]:
    """Return what a rule reads by machine, without the machines that could not be scored, and why these could not.

    paths: from each input of the rule to its paths, all machines' for one name (a system, a detector), then for the
    next. Gives a dict from the input to a list of dicts from machine to path, one a name, and a dict from machine to
    reason: one of its files holds but a fault (nearfar.jobs.faults). Raises NearfarError where no machine is left.
    """
    count = len(machines)
    columns = {key: [given[i : i + count] for i in range(0, len(given), count)] for key, given in paths.items()}
    sound, *kept = without_faults(machines, *chain(*columns.values()))
    rows = zip(machines, *chain(*columns.values()), strict=True)
    reasons = {machine: faults(row) for machine, *row in rows if machine not in sound}
    tables = (dict(zip(sound, column, strict=True)) for column in kept)
    found = {key: list(islice(tables, len(parts))) for key, parts in columns.items()}
    return found, {machine: reason[0].removeprefix(f"{machine}: ") for machine, reason in reasons.items()}


def labelled_sections(
    clips: dict[str, str | Path], scores: dict[str, str | Path], transform: Callable | None = None
) -> list[Section]:
    """Return the sections of all machines whose test clips have labels.

    clips, scores: dicts from machine to the path of its clip table and of its score table; transform: applied to the
    scores (tests,) of a machine's test set. Raises NearfarError where no machine has labels, where only some clips of
    one have, and as ``sections_of``.
    """
    found = []
    for machine, clip_table in clips.items():
        truth = _labels(machine, read_clips(clip_table))
        if truth is None:
            print(f"nearfar: {machine} has no labelled test clips and is left out of the table", file=sys.stderr)
            continue
        table = read_scores(scores[machine])
        test = np.isin(table["file"], list(truth))
        score = transform(table["score"][test]) if transform else table["score"][test]
        decision = table["decision"][test] if "decision" in table else None
        found += sections_of(machine, table["file"][test], score, truth, decision)
    if not found:
        raise NearfarError(
            "no machine has labelled test clips; name them as README.md says, or list the clips to listen to with the "
            "target <system>/ranking.csv"
        )
    return found


def read_scores(path: str | Path) -> dict[str, np.ndarray]:
    """Return the columns of a score table, ``file`` and ``score`` (clips,) among them.

    Raises NearfarError as ``refuse_broken``.
    """
    table = read_table(path)
    with error_prefix(path):
        refuse_broken(table["file"], table["score"])
    return table


def refuse_broken(files: np.ndarray, scores: np.ndarray) -> None:
    """Raise NearfarError where a score is not finite, or a clip has two. files, scores: (clips,)."""
    broken = ~np.isfinite(scores)
    if broken.any():
        raise NearfarError(
            f"the score of {files[broken][0]} is {scores[broken][0]}; mend the weight or the detector it comes from"
        )
    names, times = np.unique(np.asarray(files, str), return_counts=True)
    if (times > 1).any():
        raise NearfarError(f"{names[times > 1][0]} stands there twice; score each clip once")


def _labels(machine, clips):
    """Return the Truth of the test clips in a clip table, or None where none has a label."""
    unlabelled = [file for file, label in zip(clips["file"], clips["label"], strict=True) if label is None]
    if len(unlabelled) == len(clips["file"]):
        return None
    if unlabelled:
        raise NearfarError(f"{machine}: {unlabelled[0]} has no label, other clips do; name all alike")
    facts = zip(clips["section"], clips["label"], clips["domain"], strict=True)
    return dict(zip(clips["file"], facts, strict=True))


def sections_of(
    machine: str,
    files: np.ndarray,
    scores: np.ndarray,
    truth: Truth,
    decisions: np.ndarray | None = None,
    *,
    both_domains: bool = False,
) -> list[Section]:
    """Return the sections of one machine, scores and truth brought together by file name.

    files, scores, decisions: (clips,) in any order; both_domains: whether each section must have clips of both, as the
    challenge's have. Raises NearfarError where scores and truth do not name the same clips, for a score that is not
    finite, a decision other than 0 and 1, and where a section lacks one of the two kinds of clip, normal and anomaly,
    of a domain that it has clips of. Clips that name no domain are of the only one that others name, source where none
    does; beside clips of two they are refused.
    """
    files = np.asarray(files, object)
    with error_prefix(machine):
        refuse_broken(files, scores)
    refuse_mismatch(machine, files, truth, "truth")
    if decisions is not None and not np.isin(decisions, (0, 1)).all():
        raise NearfarError(f"{machine}: decisions other than 0 and 1; write 1 for an anomaly")
    order = np.argsort(files.astype(str), kind="stable")
    facts = np.array([truth[file] for file in files[order]])
    found = []
    for section in sorted(set(facts[:, 0])):
        here = facts[:, 0] == section
        chosen = order[here]
        decision = None if decisions is None else decisions[chosen]
        conditions = facts[here, 1] == "anomaly", _targets(machine, files[chosen], facts[here, 2])
        found.append(Section(machine, section, files[chosen], scores[chosen], *conditions, decision))
        _refuse_missing(found[-1], both_domains)
    return found


def _targets(machine, files, domains):
    """Return which clips (clips,) are of the target domain."""
    named, nameless = present(domains), [file for file, d in zip(files, domains, strict=True) if d is None]
    if nameless and len(named) == 2:
        raise NearfarError(f"{machine}: {nameless[0]} has no domain, other clips are of two; name all alike")
    return np.full(len(files), named == ["target"]) if nameless else domains == "target"


def refuse_mismatch(place: str | Path, files: Iterable[str], others: Iterable[str], of: str) -> None:
    """Raise NearfarError, naming ``place``, where ``files`` are other clips than those ``of`` the scores or truth."""
    unknown, missing = sorted(set(files) - set(others)), sorted(set(others) - set(files))
    if unknown or missing:
        what = f"{unknown[0]} is not in the {of}" if unknown else f"lacks {missing[0]} of the {of}"
        raise NearfarError(f"{place}: {what} ({len(unknown)} unknown, {len(missing)} missing); name the same clips")


def _refuse_missing(part, both_domains):
    for domain, there in (("source", ~part.target), ("target", part.target)):
        if domain in part.absent and not both_domains:
            continue
        for label, kind in (("normal", ~part.anomalous), ("anomaly", part.anomalous)):
            if not (there & kind).any():
                raise NearfarError(
                    f"{part.machine}, section {part.section}: no {domain} {label} test clip, so Ω is not defined; "
                    f"add some or leave the machine out of data.machines"
                )
