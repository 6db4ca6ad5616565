"""How often what is normal is above its threshold, which comes from the windows of long recordings.

python benchmarks/windows.py    prints the two tables of docs/evidence.md
"""

import numpy as np

from nearfar.data.skipped import window_name
from nearfar.detectors.crossfit import CrossFit
from nearfar.systems.tables import markdown
from nearfar.systems.windows import block_scores, worst

NORMAL, LENGTHS, CORRELATIONS = (60, 180, 600), (1, 2, 6, 18, 60, 180), (0.0, 0.8)
SETS, RECORDINGS, WORST = 400, 5, 3
DRIFTS, DAYS, WINDOWS, DIMS, FOLDS = (0.8, 0.9, 0.95, 0.98), 10, 300, 8, 5
METHODS = {
    "knn": {"reference": "pooled"},
    "whitened": {"covariance": "ledoit_wolf", "reference": "pooled"},
    "mahalanobis": {"covariance": "ledoit_wolf", "reference": "pooled"},
}


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


def view(rng, correlation):
    """Return a view (windows, dims) of a recording whose sound drifts."""
    return 5 + np.stack([windows(rng, WINDOWS, correlation) for _ in range(DIMS)], axis=1)


def of_another_day(method, correlation, blocks):
    """Return the share of the windows of another day that are above the 90th percentile of those learned from."""
    rng, found = np.random.default_rng(0), []
    files = np.array([window_name("monday.flac", 10.0 * i) for i in range(WINDOWS)])
    recording = np.full(WINDOWS, "monday.flac") if blocks else files
    for _ in range(DAYS):
        known, new = view(rng, correlation), view(rng, correlation)
        fits = CrossFit(method, METHODS[method], FOLDS, 0)
        fits.fit(files, np.full(WINDOWS, "source"), [known], "refuse", recording)
        found.append((fits.score([new]) > np.percentile(fits.training_scores([known]), 90)).mean())
    return f"{np.mean(found):.0%}"


def drift(correlation):
    """Return the cells of a line of the second table."""
    return [f"{correlation:g}", *(of_another_day(name, correlation, cut) for cut in (True, False) for name in METHODS)]


if __name__ == "__main__":
    rows = [row(normal, length) for normal in NORMAL for length in LENGTHS if length <= normal]
    print(markdown(rows, ["n", "k", *(f"correlation {c:g}" for c in CORRELATIONS), "k / (n + k)"]))
    print(
        markdown(
            map(drift, DRIFTS),
            ["correlation", *(f"{name}, {how}" for how in ("blocks", "one by one") for name in METHODS)],
        )
    )
