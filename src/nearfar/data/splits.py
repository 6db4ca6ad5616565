"""Which recordings of a machine are for training, and which are for test."""

from collections import defaultdict
from hashlib import sha256

from nearfar.data.layouts import Clip, name_says, trains

HELD_OUT = 3  # at most one in so many normal clips
REMEDY = "put normal recordings in normal/ and those to be judged in new/, or write a table with a column split"
LACKS = (
    ("train", "training", "normal recordings in normal/ or train/"),
    ("test", "test", "recordings to be judged in new/ or test/"),
)


def settle(clips: list[Clip]) -> tuple[list[Clip], list[str]]:
    """Return the clips of one machine that are of use, each now a train or test clip, and notes on what was decided.

    None is of use where nothing tells the normal clips from those to be judged.
    """
    notes = []
    said = [clip for clip in clips if clip.split or clip.label]
    unsaid = [clip for clip in clips if not clip.split and not clip.label]
    if not said:
        return [], [f"left out, since nothing says which clips are normal; {REMEDY}"]
    if unsaid and any(map(trains, said)):
        notes.append(f"left out: {len(unsaid)} outside its training and test folders")
        clips = said
    elif unsaid:
        notes.append("clips beside the folder of those to be judged are taken as normal")
        for clip in unsaid:
            clip.label = "normal"
    usable = [clip for clip in clips if (clip.split, clip.label) != ("train", "anomaly")]
    if len(usable) < len(clips):
        notes.append(f"left out: {len(clips) - len(usable)} anomalous in train/; put them in test/anomalous/")
    clips = usable
    notes += _hold_out(clips)
    for clip in clips:
        clip.split = {"": "test" if clip.label == "anomaly" else "train", "new": "test"}.get(clip.split, clip.split)
        clip.label = "normal" if clip.split == "train" else clip.label
    return clips, notes + _drop_attributes(clips) + _lacks({clip.split for clip in clips}) + _doubt(clips)


def _hold_out(clips):
    """Make some normal clips test clips where there are anomalous ones and no folder says what is for testing.

    As many as are anomalous, at most a third, of each domain its part. The choice is by a hash of the path below the
    machine's folder: a clip added later moves hardly any other one.
    """
    anomalous = sum(clip.label == "anomaly" for clip in clips)
    normal = defaultdict(list)
    for clip in clips:
        if clip.label == "normal":
            normal[clip.domain].append(clip)
    total = sum(map(len, normal.values()))
    if not anomalous or not total or any(clip.split in ("train", "test") for clip in clips):
        return []
    count = min(anomalous, total // HELD_OUT)
    for of_domain in normal.values():
        for clip in sorted(of_domain, key=_lot)[: len(of_domain) * count // total]:
            clip.split = "test"
    return [
        "normal and anomalous clips without train/ and test/: as many normal clips as anomalous ones, at most a "
        "third, are test clips, chosen by a hash of their names"
    ]


def _lot(clip):
    return sha256(clip.path.removeprefix(clip.place).strip("/").encode()).digest()


def _drop_attributes(clips):
    """Take the attributes off where those of the training clips all differ: each would be a class of one clip."""
    values = [clip.attribute for clip in clips if clip.split == "train" and clip.attribute]
    if len(values) < 2 or len(set(values)) < len(values):
        return []
    for clip in clips:
        clip.attribute = ""
    return ["as many attributes as training clips: left out, since they tell no classes"]


def _lacks(splits):
    return [f"has no {name} clip; put {what}" for split, name, what in LACKS if split not in splits]


def _doubt(clips):
    """Return a note where what is taken as one machine may be several: train/ and test/ hold the same folders."""
    below = {"train": set(), "test": set()}
    for clip in clips:
        folders = clip.path.removeprefix(clip.place).strip("/").split("/")[1:-1]
        below[clip.split].update(folder for folder in folders[:1] if not name_says(folder))
    names = sorted(below["train"])
    if len(names) < 2 or below["train"] != below["test"]:
        return []
    return [
        f"one machine, though {', '.join(names[:3])} are among both its training and its test clips; if they are "
        "machines, put folders normal/ and new/ into each"
    ]
