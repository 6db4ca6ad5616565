"""How often the bootstrap's 95 % interval holds the true value: prints a table, a minute or so for each separation.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/coverage.py [--repetitions 2000]

Sections of 50 clips a cell, as the challenge has them; scores are normal, anomalies lie ``separation`` standard
deviations higher, so AUC, pAUC and Ω over three sections are known.
"""

import argparse
from statistics import NormalDist

import numpy as np

from nearfar.comparison.bootstrap import METRICS, interval, omegas, resample
from nearfar.systems.metrics import harmonic_mean

NORMAL = NormalDist()


def truths(separation):
    """Return the true METRICS and Ω."""
    auc = NORMAL.cdf(separation / 2**0.5)
    fpr = np.linspace(1e-9, 0.1, 10001)
    area = np.trapezoid([NORMAL.cdf(NORMAL.inv_cdf(x) + separation) for x in fpr], fpr)
    pauc = 0.5 * (1 + (area - 0.005) / 0.095)
    return np.array([auc, auc, pauc, auc, auc]), harmonic_mean([auc, auc, pauc])


def section(machine, separation, rng):
    """Return a section, as evaluation.evaluate takes it, of random scores."""
    label, domain = np.repeat(["normal", "anomaly"], 100), np.tile(np.repeat(["source", "target"], 50), 2)
    scores = rng.normal(size=200) + separation * (label == "anomaly")
    files = np.array([f"{i:04d}" for i in range(200)], object)
    return {"machine": machine, "section": "00", "file": files, "scores": scores, "label": label, "domain": domain}


def main():
    """Print the coverage for three separations."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    repetitions = parser.parse_args().repetitions
    print(f"| AUC | {' | '.join(METRICS)} | Ω |\n{'|---' * 7}|")
    for separation in (0.3, 1.0, 2.0):
        true, true_omega = truths(separation)
        held, held_omega = np.zeros(5), 0
        for seed in range(repetitions):
            rng = np.random.default_rng([seed, int(10 * separation)])
            values = resample([section(name, separation, rng) for name in "abc"], seed=seed, resamples=1000)
            low, high = interval(values[:, 0])
            held += (low <= true) & (true <= high)
            low, high = interval(omegas(values))
            held_omega += low <= true_omega <= high
        cells = [f"{100 * share:.1f}" for share in (true[0], *(held / repetitions), held_omega / repetitions)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
