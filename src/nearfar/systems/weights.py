"""The members of a system and their weights. Used while the workflow is parsed: no heavy import."""

from typing import Any


def weights_of(given: dict[str, float], core: list[str]) -> dict[str, float]:
    """Return the weight of each detector: those given, and (1 − Σ w)/2 for each of the two of the density core."""
    share = (1 - sum(given.values())) / len(core)
    return {name: share for name in core if share > 0} | given


def members_of(system: dict[str, Any], core: list[str]) -> list[str]:
    """Return the detectors that count in a system of the configuration, sorted: by weights, or by families."""
    if "families" in system:
        return sorted({name for family in system["families"].values() for name in family})
    return sorted(name for name, weight in weights_of(system["weights"], core).items() if weight > 0)


def without(families: dict[str, list[str]], residual: list[str]) -> dict[str, list[str]]:
    """Return the families without the detectors that hear the residual, and without a family that had no other."""
    kept = {family: [name for name in names if name not in residual] for family, names in families.items()}
    return {family: names for family, names in kept.items() if names} or families
