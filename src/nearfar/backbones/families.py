"""The families of backbones. A new one is a file beside this one and a line of FAMILIES; features.<family> uses it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from nearfar.backbones.checkpoints import CONFIG, read_config
from nearfar.errors import NearfarError

FAMILIES = {  # model_type of a config.json: class, a nearfar.backbones.base.Backbone, in the file of that name
    "eat": "EAT",
    "beats": "BEATs",
}
BANDS = "_bands"  # ends the name of a view that is pooled by mel row
CHECKPOINTS = {".pt": "beats"}  # suffixes of files in a family's own format, converted once


def family_class(family: str) -> type:
    """Return the class of a family, whose file, and so torch, is imported only now."""
    return getattr(import_module(f"nearfar.backbones.{family}"), FAMILIES[family])


def views_of(family: str, about: dict[str, Any]) -> dict[str, list[str]]:
    """Return the signals of each view that a family's entry under ``features`` asks for, by the view's name.

    ``<family>`` is pooled as its ``pooling`` says, ``<family>_bands`` by mel row.
    """
    return {family: about["channels"], family + BANDS: about.get("bands", [])}


def family_of(path: str | Path) -> str:
    """Return the family of a checkpoint file or of a folder with config.json, EAT where that names no model_type.

    Raises NearfarError for a family that there is not, and for a config.json that cannot be read.
    """
    path = Path(path)
    if path.suffix in CHECKPOINTS and not path.is_dir():
        return CHECKPOINTS[path.suffix]
    family = read_config(path / CONFIG).get("model_type", "eat")
    if family not in list(FAMILIES):
        raise NearfarError(
            f"{path / CONFIG}: model_type: {family!r} is none of {', '.join(FAMILIES)}; take a backbone of one of these"
        )
    return family
