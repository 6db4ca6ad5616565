"""Seeds that depend on what is computed, never on the order in which jobs run."""

import hashlib


def seed_for(seed: int, *words: object) -> int:
    """Return a 32-bit seed that depends only on ``seed`` and on ``words`` (machine, fold, …)."""
    text = "|".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def fraction(*words: object) -> float:
    """Return a number in [0, 1) that depends only on ``words``."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
