"""The clip table: one row a clip, keyed by file name."""

from pathlib import Path

import pyarrow as pa

from nearfar.data.audio import RATE, probe
from nearfar.data.dataset import wav_files
from nearfar.data.names import attribute_pairs, parse
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import read_table, write_table

PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))


def clip_table(machine, folder):
    """Return the pyarrow table of all clips in ``folder``/{train,test}, sorted by file name.

    Columns: file, path, machine, section, split, domain, label, attribute (text), attributes (list of key and value,
    repeated keys kept), frames, rate (Hz), duration (s). domain and label are null where the name does not tell.
    Raises NearfarError for a clip with a malformed name, a wrong rate or channel count, or an unreadable header.
    """
    rows = []
    for split, file in wav_files(folder):
        path = Path(folder, split, file)
        with error_prefix(folder):
            name = parse(file, split)
        frames = probe(path)
        rows.append({"file": file, "path": str(path), "machine": machine} | name._asdict() | {"frames": frames})
    rows.sort(key=lambda row: row["file"])
    refuse_unusable(machine, folder, rows)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    columns["domain"] = pa.array(columns["domain"], pa.string())
    columns["label"] = pa.array(columns["label"], pa.string())
    columns["attributes"] = pa.array([_structs(text) for text in columns["attribute"]], PAIRS)
    columns["rate"] = [RATE] * len(rows)
    columns["duration"] = [row["frames"] / RATE for row in rows]
    return pa.table(columns)


def write_clips(machine, folder, path, fingerprint=""):
    """Write the clip table of a machine.

    ``fingerprint`` stands for the clips' content: with it in the file, what depends on the table is computed again
    when a clip was replaced by another of the same name and length.
    """
    write_table(path, clip_table(machine, folder).replace_schema_metadata({"fingerprint": fingerprint}))


def read_clips(path, split=None):
    """Return the clip table as a dict of numpy arrays, only the clips of ``split`` where it is given."""
    clips = read_table(path)
    if split is None:
        return clips
    keep = clips["split"] == split
    return {name: column[keep] for name, column in clips.items()}


def _structs(attribute):
    return [{"key": key, "value": value} for key, value in attribute_pairs(attribute)]


def refuse_unusable(machine, folder, rows):
    """Raise NearfarError where the clips (dicts with split and domain) do not suffice to train and judge."""
    for domain in ("source", "target"):
        count = sum(row["split"] == "train" and row["domain"] == domain for row in rows)
        if count < 2:  # one clip has no spread and no neighbour
            raise NearfarError(
                f"{folder}/train: {machine} has {count or 'no'} {domain}-domain clip; put two or more normal "
                f"recordings of that domain there, named section_00_{domain}_train_normal_0000.wav"
            )
    if not any(row["split"] == "test" for row in rows):
        raise NearfarError(f"{folder}/test: {machine} has no test clip; put the recordings to be judged there")
