"""The data sets of a challenge as ``data.sets`` describes them. Runs while the workflow is parsed: no heavy import."""

from pathlib import Path
from typing import NamedTuple

from nearfar.data.dataset import SPLITS
from nearfar.data.documents import parse_yaml, read_bytes
from nearfar.errors import NearfarError, error_prefix

ARCHIVES = "archives"  # below data.root: the archives as downloaded and the metadata of their records


class Source(NamedTuple):
    """Where a folder of clips comes from: a zip archive and the Zenodo record that holds it."""

    archive: str
    record: str


def places(sets):
    """Return a dict from every folder of clips, relative to ``data.root``, to its Source, sorted.

    Raises NearfarError where two sets have the same split of a machine, or one machine in two folders.
    """
    found, homes = {}, {}
    for name, about in sets.items():
        for machine, facts in about["machines"].items():
            key = f"data.sets.{name}.machines.{machine}"
            if homes.setdefault(machine, about["folder"]) != about["folder"]:
                raise NearfarError(f"{key}: another set has that machine in {homes[machine]}; give both one folder")
            for split in splits(about["clips"]):
                place = f"{about['folder']}/{machine}/{split}"
                if place in found:
                    raise NearfarError(f"{key}: another set has {split} clips of that machine; take one of them out")
                found[place] = Source(facts["file"], str(about["record"]))
    return dict(sorted(found.items()))


def splits(clips):
    """Return the splits of which a set's expected numbers of clips speak."""
    return [split for split in SPLITS if any(split in kind.split("_") for kind in clips)]


def folders(root, sets):
    """Return a dict from every machine of the sets to its folder, sorted by name."""
    found = {machine: Path(root, about["folder"], machine) for about in sets.values() for machine in about["machines"]}
    return dict(sorted(found.items()))


def absent(root, sets):
    """Return the folders of clips, relative to ``root``, that are not there."""
    return [place for place in places(sets) if not Path(root, place).is_dir()]


def refuse_absent(root, sets):
    """Raise NearfarError where a folder of clips is not there."""
    if missing := absent(root, sets):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise NearfarError(
            f"{root}/{missing[0]}: absent{more}; run the target download first, with the same --configfile, or put "
            f"the clips there by hand"
        )


def expected(sets):
    """Return a dict from machine to what the sets say of it: clips (kind to number), and seconds and attributes."""
    found = {}
    for about in sets.values():
        for machine, facts in about["machines"].items():
            mine = found.setdefault(machine, {"clips": {}})
            mine["clips"] |= about["clips"]
            mine |= {key: facts[key] for key in ("seconds", "attributes") if key in facts}
    return found


def read_sets(path):
    """Return ``data.sets`` of a configuration file; raise NearfarError where it has none."""
    try:
        with error_prefix(path):
            sets = parse_yaml(read_bytes(path).decode("utf-8"))[0]["data"]["sets"]
        places(sets), expected(sets)
    except (UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise NearfarError(
            f"{path}: no data.sets to be read there ({type(error).__name__}); give a file such as config/dcase2026.yaml"
        ) from error
    return sets
