"""What a machine of 1,200 clips costs where a view is as wide as `bands` of an EAT of base size, 12,288 dims.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/wide.py

Each row is fit, scores and file of a detector on made-up features, in a process of its own; then the residual of a clip
and such an EAT, of random weights, on near and residual of clips of noise.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from growth import clips_of_noise, measured
from project import ROOT

from nearfar.data.signals import residual
from nearfar.detectors.crossfit import CrossFit

TRAIN, TARGET, TEST, DIMS, CAUSES = 1000, 10, 200, 12288, 200
ROWS = [  # method, params that differ from the defaults, folds
    ("mahalanobis", {"covariance": "ledoit_wolf"}, 5),
    ("mahalanobis", {"covariance": "likelihood"}, 5),
    ("whitened", {"covariance": "ledoit_wolf"}, 5),
    ("whitened", {"covariance": "likelihood"}, 5),
    ("knn", {}, 5),
    ("flow", {}, 3),
    ("predictive", {"components": 128}, 5),
]


def clips(seed):
    """Return a view (clips, dims) of clips that share some causes, float32 as in a feature file."""
    rng = np.random.default_rng(seed)
    strengths = rng.standard_normal((TRAIN + TEST, CAUSES), np.float32) * np.linspace(2, 0.1, CAUSES, dtype=np.float32)
    view = strengths @ rng.standard_normal((CAUSES, DIMS), np.float32)
    return view + 0.5 * rng.standard_normal(view.shape, np.float32)


def detector(path, method, params, folds):
    """Fit on the training clips, score all and write the fit, as the workflow's job does; without a method nothing."""
    views = [clips(seed) for seed in range(2 if method == "predictive" else 1)]
    if method is None:
        return
    files = np.array([f"{i:04d}" for i in range(TRAIN)])
    domain = np.array(["source"] * (TRAIN - TARGET) + ["target"] * TARGET)
    seen = [view[:TRAIN] for view in views]
    fits = CrossFit(method, params, folds, seed=0).fit(files, domain, seen)
    fits.score([view[TRAIN:] for view in views])
    fits.write(path, fits.training_scores(seen), made="")


def embed(backbone, paths):
    """Embed near and residual of clips, by column and by mel row in one pass, as the workflow's job does."""
    from nearfar.backbones.base import load_backbone
    from nearfar.backbones.embed import view_vectors

    views = [(signal, pooling) for signal in ("near", "residual") for pooling in ("columns", "bands")]
    for vectors in view_vectors(load_backbone(backbone), paths, views, batch=8):
        assert [len(vector) for vector in vectors] == [1536, DIMS] * 2


def embedding(folder, few=4, many=12):
    """Return the CPU-seconds of a clip of 10 s and the peak memory in MB, torch included."""
    from nearfar.backbones.source import fetch

    fetch("untrained", folder / "base", family="eat", config={})
    clips_of_noise(folder, many, seconds=10)
    paths = sorted(folder.glob("*.wav"))
    took = [measured(embed, folder / "base", paths[:count]) for count in (few, many)]
    return (took[1][0] - took[0][0]) / (many - few), took[1][1]


def milliseconds(call, argument, repeat=50):
    """Return the CPU-milliseconds of a call, the median of many."""
    took = []
    for _ in range(repeat):
        begun = time.process_time()
        call(argument)
        took.append(1000 * (time.process_time() - begun))
    return float(np.median(took))


def main():
    """Print the tables in Markdown."""
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["methods"]
    print(
        f"{TRAIN} training and {TEST} test clips of {DIMS:,} dims, one thread; what makes the features is taken off:\n"
    )
    print("| method | | CPU-seconds | peak MB | MB of the fit |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fit")
        for method, params, folds in ROWS:
            given = measured(detector, path, None, {}, 0)[0] * (1 + (method == "predictive"))
            took, memory = measured(detector, path, method, defaults[method] | params, folds)
            said = ", ".join(f"{key} {value}" for key, value in params.items())
            size = path.stat().st_size / 1e6
            print(f"| `{method}` | {said} | {took - given:.1f} | {memory:.0f} | {size:.0f} |", flush=True)
    wave = np.random.default_rng(0).normal(0, 0.1, (160000, 2)).astype(np.float32)
    print(f"\nThe residual of a clip of 10 s: {milliseconds(residual, wave):.1f} CPU-ms.")
    with tempfile.TemporaryDirectory() as folder:
        a_clip, memory = embedding(Path(folder))
    print(
        f"\nNear and residual of a clip of 10 s by an EAT of base size, `columns` and `bands` in one pass: {a_clip:.2f}"
        f" CPU-seconds, {memory:.0f} MB at most."
    )


if __name__ == "__main__":
    main()
