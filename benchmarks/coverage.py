"""How often the bootstrap's 95 % interval holds the true value: prints a table, a minute or so for each separation.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/coverage.py [--repetitions 2000]

Sections of 50 clips a cell, as the challenge has them; scores are normal, anomalies lie ``separation`` standard
deviations higher, so AUC, pAUC and Ω over three sections are known.
"""

import argparse
from statistics import NormalDist

import numpy as np

from nearfar.comparison.bootstrap import interval, resample
from nearfar.systems.metrics import METRICS, harmonic_mean, omega
from nearfar.systems.sections import Section
from nearfar.systems.tables import markdown

NORMAL = NormalDist()


def truths(separation: float) -> tuple[np.ndarray, float]:
    """Return the true METRICS and Ω."""
    auc = NORMAL.cdf(separation / 2**0.5)
    fpr = np.linspace(1e-9, 0.1, 10001)
    area = np.trapezoid([NORMAL.cdf(NORMAL.inv_cdf(x) + separation) for x in fpr], fpr)
    pauc = 0.5 * (1 + (area - 0.005) / 0.095)
    return np.array([auc, auc, pauc, auc, auc]), harmonic_mean([auc, auc, pauc])


def section(machine: str, separation: float, rng: np.random.Generator) -> Section:
    """Return a section of random scores."""
    anomalous, target = np.repeat([False, True], 100), np.tile(np.repeat([False, True], 50), 2)
    files = np.array([f"{i:04d}" for i in range(200)], object)
    return Section(machine, "00", files, rng.normal(size=200) + separation * anomalous, anomalous, target)


def held(separation: float, repetitions: int, resamples: int = 1000) -> np.ndarray:
    """Return the share of repetitions whose interval holds the truth, (6,): the METRICS, then Ω."""
    true, true_omega = truths(separation)
    found = np.zeros(6)
    for seed in range(repetitions):
        rng = np.random.default_rng([seed, int(10 * separation)])
        values = resample([section(name, separation, rng) for name in "abc"], seed=seed, resamples=resamples)
        (low, high), (low_omega, high_omega) = interval(values[:, 0]), interval(omega(values))
        found += [*((low <= true) & (true <= high)), low_omega <= true_omega <= high_omega]
    return found / repetitions


def main() -> None:
    """Print the coverage for three separations."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    repetitions = parser.parse_args().repetitions
    rows = [
        [f"{100 * share:.1f}" for share in (truths(separation)[0][0], *held(separation, repetitions))]
        for separation in (0.3, 1.0, 2.0)
    ]
    print(markdown(rows, ("AUC", *METRICS, "Ω")))


if __name__ == "__main__":
    main()
