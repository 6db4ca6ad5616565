"""The grammar of the challenge's file names (DCASE 2026 Task 2)."""

import re
from typing import NamedTuple

from nearfar.errors import NearfarError

LABELLED = re.compile(r"section_(\d\d)_(source|target)_(train|test)_(normal|anomaly)_(\d{4})(?:_(.+))?\.wav")
ANONYMOUS = re.compile(r"section_(\d\d)_(\d{4})\.wav")
HIDDEN = "noAttribute"


class Name(NamedTuple):
    """What a clip's file name says; ``domain`` and ``label`` are None where it says nothing."""

    section: str
    split: str
    domain: str | None
    label: str | None
    attribute: str


def parse(file: str, split: str) -> Name:
    """Return the Name of a clip found in the folder ``split`` ("train" or "test").

    The number in a file name identifies nothing (it repeats across conditions), so it is not returned.
    Raises NearfarError for a name that does not follow the grammar, stands in the wrong folder or cannot be printed.
    """
    if not file.isprintable():
        raise NearfarError(f"{split}/{file}: its name holds control characters or is not UTF-8; rename it")
    if match := LABELLED.fullmatch(file):
        section, domain, named_split, label, _, attribute = match.groups()
        if named_split == split and (split, label) != ("train", "anomaly"):
            return Name(section, split, domain, label, attribute or HIDDEN)
        raise NearfarError(f"{file}: a {named_split} {label} clip does not belong in {split}/; move it")
    if split == "test" and (match := ANONYMOUS.fullmatch(file)):
        return Name(match[1], split, None, None, HIDDEN)
    raise NearfarError(
        f"{split}/{file}: not a name of the challenge; rename it to "
        f"section_00_<source|target>_{split}_<normal|anomaly>_0000_<attributes>.wav"
    )


def attribute_pairs(attribute: str) -> list[tuple[str, str]]:
    """Return the (key, value) pairs of an attribute text, in order and with repeated keys kept.

    "car_A1_spd_2_mic_2_mic_1" has two pairs named mic; a dict would lose one.
    """
    if attribute == HIDDEN:
        return []
    words = attribute.split("_")
    return list(zip(words[::2], [*words[1::2], ""][: len(words[::2])], strict=True))
