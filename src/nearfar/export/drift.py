"""Whether normal itself has moved: the last clips' p-values against what a model that still fits would give."""

import math
from collections.abc import Sequence

BLOCK = 50  # clips of a machine that are judged together
RATE = 1e-3  # of false alarms, a block of exchangeable clips


def drift(p_values: Sequence[float], training: int) -> float:
    """Return the one-sided p-value that clips (m,) are no more anomalous than the ``training`` clips (n,), all normal.

    p_values: the clips' own conformal ones, (1 + k) / (n + 1), k being how many training clips score as high. The sum
    of all k is the U statistic of Mann and Whitney ("On a test of whether one of two random variables is stochastically
    larger than the other", 1947), its null distribution taken as normal with a continuity correction; ties count for
    the clips, which makes it larger. It compares two samples, so it holds although all p-values lean on the same
    training clips; a test of each against uniform would in time alarm of these clips' own accidents. A few anomalies
    move it little. It holds for exchangeable clips: those of one day are alike, and alarm more often.
    """
    count = len(p_values)
    u = sum(p * (training + 1) - 1 for p in p_values)
    mean, variance = training * count / 2, training * count * (training + count + 1) / 12
    return 0.5 * math.erfc(-(u + 0.5 - mean) / math.sqrt(2 * variance))


def warning(machine: str, p_values: Sequence[float], training: int) -> str | None:
    """Return a line where the last whole block of a machine's p-values, oldest first, says that normal has moved."""
    whole = len(p_values) // BLOCK * BLOCK
    block = p_values[max(whole - BLOCK, 0) : whole]
    if not block or (chance := drift(block, training)) >= RATE:
        return None
    return (
        f"{machine}: normal has moved: its clips {whole - BLOCK + 1} to {whole} are more anomalous than the training "
        f"clips (chance {chance:.1g}); listen to them, and train anew if they are normal"
    )
