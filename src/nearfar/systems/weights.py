"""The weights of a system's detectors (Eq. 1). Used while the workflow is parsed: no heavy import."""


def weights_of(given: dict[str, float], core: list[str]) -> dict[str, float]:
    """Return the weight of each detector: those given, and (1 − Σ w)/2 for each of the two of the density core."""
    share = (1 - sum(given.values())) / len(core)
    return {name: share for name in core if share > 0} | given
