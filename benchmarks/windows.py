"""How often a normal recording of several windows is above its threshold, which comes from few normal windows.

python benchmarks/windows.py    prints the table of docs/evidence.md
"""

import numpy as np

from nearfar.systems.tables import markdown
from nearfar.systems.windows import block_scores, worst

NORMAL, LENGTHS, CORRELATIONS = (60, 180, 600), (1, 2, 6, 18, 60, 180), (0.0, 0.8)
SETS, RECORDINGS, WORST = 400, 5, 3


def windows(rng, count, correlation):
    """Return the scores (count,) of successive windows, each of a standard normal distribution."""
    steps = rng.standard_normal(count) * np.sqrt(1 - correlation**2)
    level = rng.standard_normal()
    for i, step in enumerate(steps):
        steps[i] = level = correlation * level + step
    return steps


def above(normal, length, correlation):
    """Return the share of recordings of ``length`` normal windows that are called an anomaly."""
    rng, found = np.random.default_rng([normal, length]), 0
    for _ in range(SETS):
        training = windows(rng, normal, correlation)
        threshold = np.percentile(block_scores(training, length, worst_windows=WORST), 90)
        for _ in range(RECORDINGS):
            new = windows(rng, length, correlation)
            found += new[worst(new, WORST)].mean() > threshold
    return found / (SETS * RECORDINGS)


def row(normal, length):
    """Return the cells of a line of the table."""
    shares = [above(normal, length, correlation) for correlation in CORRELATIONS]
    return [f"{normal}", f"{length}", *(f"{share:.1%}" for share in (*shares, length / (length + normal)))]


if __name__ == "__main__":
    rows = [row(normal, length) for normal in NORMAL for length in LENGTHS if length <= normal]
    print(markdown(rows, ["n", "k", *(f"correlation {c:g}" for c in CORRELATIONS), "k / (n + k)"]))
