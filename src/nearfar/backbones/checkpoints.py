"""Reading the files of a model, within bounds and with every key accounted for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nearfar.data.documents import parse_json, read_bytes
from nearfar.errors import NearfarError, error_prefix

CONFIG, WEIGHTS = FILES = ("config.json", "model.safetensors")
FLOATS = ("float64", "float32", "float16", "bfloat16")
MOST = {  # of settings that a model's size and time grow with, beyond any published EAT or BEATs
    "depth": 64,
    "encoder_layers": 64,
    "embed_dim": 8192,
    "encoder_embed_dim": 8192,
    "encoder_ffn_embed_dim": 32768,
    "num_heads": 256,
    "encoder_attention_heads": 256,
    "mlp_ratio": 16,
    "max_length": 16384,
    "num_classes": 100_000,
    "conv_pos": 1024,
    "num_buckets": 16384,
}
OTHERS = 10**6  # of any other number
PARAMETERS = 2 * 10**9  # of a model; EAT-large has 0.3 billion


def read_config(path: str | Path) -> dict[str, Any]:
    """Return a config.json as a dict; raises NearfarError where it is absent or no JSON object within bounds."""
    with error_prefix(path):
        try:
            config = parse_json(read_bytes(path).decode("utf-8"))
        except (UnicodeDecodeError, NearfarError) as error:
            reason = str(error).partition(";")[0]
            raise NearfarError(f"not readable as JSON ({reason}); put the model's config.json there") from error
        if not isinstance(config, dict):
            raise NearfarError("holds no JSON object; put the model's config.json there")
        return config


def refuse_absurd(settings: Mapping[str, Any]) -> None:
    """Raise NearfarError for a setting beyond MOST, which would take all memory before anything is compared."""
    for key, value in settings.items():
        most = MOST.get(key, OTHERS)
        if isinstance(value, (int, float)) and not abs(value) <= most:
            raise NearfarError(f"{key}: {value!r} is more than {most:,}, which no published model has; mend it")


def refuse_huge(model: Any) -> Any:
    """Return a model that has no storage yet; raises NearfarError where it would have more than PARAMETERS."""
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > PARAMETERS:
        raise NearfarError(f"makes a model of {count:,} parameters, {PARAMETERS:,} at most; take smaller settings")
    return model


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file by name; raises NearfarError where it is absent or incomplete."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = f"incomplete or no safetensors file: {error}" if Path(path).exists() else "absent"
        raise NearfarError(f"{path}: {reason}; put the whole model.safetensors there") from error


def refuse_no_weights(state: Mapping[str, Any]) -> None:
    """Raise NearfarError for a tensor whose numbers are not of a kind in FLOATS, or not all finite.

    Loading casts whole numbers and truth values without a word, and every clip gets one and the same vector.
    """
    for name, tensor in state.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in FLOATS:
            fault = f"holds {kind}, not {', '.join(FLOATS)}"
        elif not tensor.isfinite().all():
            fault = "holds numbers that are not finite"
        else:
            continue
        raise NearfarError(f"{name} {fault}; put the model's weights as they were trained there")


def renamed(state: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Return ``state`` under new names; raises NearfarError where two keys get the same."""
    old = {}
    for name in state:
        if other := old.get(rename(name)):
            raise NearfarError(f"{other} and {name} are one and the same weight; take one of them out")
        old[rename(name)] = name
    return {new: state[name] for new, name in old.items()}


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
