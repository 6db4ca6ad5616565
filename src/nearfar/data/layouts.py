"""What the names of folders and files say of clips: the challenge's, MIMII's, normal beside new. Opens no file."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from nearfar.data.dataset import LONGEST_NAME
from nearfar.data.names import ANONYMOUS, HIDDEN, LABELLED, Name, parse
from nearfar.errors import NearfarError

WORDS = {
    **dict.fromkeys(("train", "training"), ("split", "train")),
    **dict.fromkeys(("test", "testing"), ("split", "test")),
    **dict.fromkeys(("normal", "good"), ("label", "normal")),
    **dict.fromkeys(("abnormal", "anomaly", "anomalous", "faulty", "bad"), ("label", "anomaly")),
    "new": ("split", "new"),
    "source": ("domain", "source"),
    "target": ("domain", "target"),
}  # the name of a folder, or part of one such as source_test, to the column it fills
NUMBERED = re.compile(r"id_\d+")  # MIMII's machines of a type
OF_2020 = re.compile(r"(?:(normal|anomaly)_)?(id_\d\d)_\d{8}")  # MIMII's clips in the challenge of that year


@dataclass(slots=True)
class Clip:
    """What is known of a clip at ``path``; an empty text where nothing tells. ``place`` is its machine's folder.

    Both are below the folder looked at. split is train, test, or new (a test clip), and final only after settle.
    """

    path: str
    place: str | None = None
    split: str = ""
    label: str = ""
    domain: str = ""
    attribute: str = ""
    section: str = ""


def trains(clip: Clip) -> bool:
    """Return whether a clip is for training, as far as its folders tell."""
    return clip.split == "train" or (not clip.split and clip.label != "anomaly")


def name_says(folder: str) -> dict[str, str]:
    """Return what the name of a folder says by column: nothing unless each of its words has a meaning."""
    words = re.split("[ _-]", folder.casefold())
    return dict(WORDS[word] for word in words) if WORDS.keys() >= set(words) else {}


@cache
def folder_says(folder: str) -> tuple[str | None, dict[str, str]]:
    """Return the machine's folder in a path and what the names from there on say, by column; None where they say none.

    The outermost name decides on the split, so that test/ may hold anything, the innermost on the rest.
    """
    names = folder.split("/")
    says = [name_says(name) for name in names]
    first = next((number for number, said in enumerate(says) if said), None)
    if first is None:
        return None, {}
    known = {column: value for said in says for column, value in said.items()}
    splits = {said["split"]: None for said in says if "split" in said}
    return "/".join(names[:first]), known | {"split": next(iter(splits), "")}


def clip_of(folder: str, file: str) -> Clip:
    """Return what its folders and its name say of a clip; only the challenge's names say anything.

    Raises NearfarError for a name of the challenge in a folder of another split or label.
    """
    place, said = folder_says(folder)
    clip = Clip(os.path.join(folder, file), place, **said)
    if name := _challenge_name(file, clip.split):
        clip.place = folder if place is None else place
        clip.split, clip.section, clip.domain = clip.split or name.split, name.section, name.domain or clip.domain
        clip.attribute = "" if name.attribute == HIDDEN else name.attribute
        clip.label = name.label or clip.label
    elif match := OF_2020.fullmatch(os.path.splitext(file)[0]):
        clip.place = os.path.join(folder if place is None else place, match[2])
        clip.label = match[1] or clip.label
    if clip.label != (says := said.get("label", clip.label)):
        raise NearfarError(f"{file}: named {clip.label}, but in a folder of {says} clips; move it")
    return clip


def _challenge_name(file: str, split: str) -> Name | None:
    """Return what a name of today's challenge says, whatever the recording is encoded in; None for other names."""
    if not file.startswith("section_"):
        return None
    name, split = os.path.splitext(file)[0] + ".wav", "test" if split == "new" else split
    if match := LABELLED.fullmatch(name):
        return parse(name, split or match[3])
    return parse(name, split) if split == "test" and ANONYMOUS.fullmatch(name) else None


def machines_of(clips: Iterable[Clip], root: str) -> dict[str, list[Clip]]:
    """Return the clips by machine, which is named after its folder; ``root`` names the folder looked at.

    A clip of which nothing tells the machine's folder belongs to the nearest folder above it that is one. Folders of
    one name are one machine where only one has normal clips, else each bears the names of the folders above it too.
    Raises NearfarError for a name that no file can bear.
    """
    clips = list(clips)
    places = {clip.place for clip in clips}
    nearest = cache(lambda folder: _nearest(folder, places))
    by_place, by_name, machines = defaultdict(list), defaultdict(list), {}
    for clip in clips:
        clip.place = nearest(os.path.dirname(clip.path)) if clip.place is None else clip.place
        by_place[clip.place].append(clip)
    for place in sorted(by_place):
        by_name[_machine(place, root)].append(place)
    for name, same in by_name.items():
        apart = sum(any(map(trains, by_place[place])) for place in same) > 1
        for place in same:
            machines.setdefault(_usable(_full(place, root) if apart else name), []).extend(by_place[place])
    return dict(sorted(machines.items()))


def _nearest(folder, places):
    above = folder
    while above not in places and above:
        above = os.path.dirname(above)
    return above if above in places else folder


def _machine(place, root):
    *above, name = [root, *filter(None, place.split("/"))]
    return f"{above[-1]}_{name}" if above and NUMBERED.fullmatch(name) else name


def _full(place, root):
    return place.replace("/", "_") or root


def _usable(name):
    if not name.isprintable() or set(name) & set("{}") or len(name.encode()) > LONGEST_NAME:
        raise NearfarError(f"{name}: no machine can be named so; rename the folder, without braces and shorter")
    return name
