"""Reading the files of a model, with every key accounted for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.errors import NearfarError

CONFIG, WEIGHTS = FILES = ("config.json", "model.safetensors")


def read_config(path: str | Path) -> dict[str, Any]:
    """Return a config.json as a dict; raises NearfarError where it is absent or no JSON object."""
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NearfarError(
            f"{path}: not readable as JSON ({type(error).__name__}); put the model's config.json there"
        ) from error
    if not isinstance(config, dict):
        raise NearfarError(f"{path}: holds no JSON object; put the model's config.json there")
    return config


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file by name; raises NearfarError where it is absent or incomplete."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = f"incomplete or no safetensors file: {error}" if Path(path).exists() else "absent"
        raise NearfarError(f"{path}: {reason}; put the whole model.safetensors there") from error


def refuse_mismatch(state: Mapping[str, Any], wanted: Mapping[str, Any], path: str | Path) -> None:
    """Raise NearfarError unless ``state`` has exactly the keys of ``wanted``, in the same shapes."""
    common = state.keys() & wanted.keys()
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "not known": sorted(state.keys() - wanted.keys()),
        "of another shape": sorted(name for name in common if state[name].shape != wanted[name].shape),
    }
    said = [f"{len(names)} keys {fault} ({_few(names)})" for fault, names in faults.items() if names]
    if said:
        raise NearfarError(f"{path}: {', '.join(said)}; take the checkpoint and the config of one and the same model")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
