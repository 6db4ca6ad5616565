"""How the cost grows with clips and with machines: tables, fitted exponents and a plot.

    .venv/bin/python benchmarks/growth.py [--plot benchmarks/growth.png]

Clips: a job of each detector on one machine (made-up features of 1536 dims), and the embedding of 1 s clips by the
shipped backbone, each in a process of its own. Machines: the whole detector stage by the workflow.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from project import Project, detect, detectors

CLIPS, MACHINES = (250, 500, 1000, 2000, 4000), (1, 2, 4, 8, 16)
FORCED = {  # what the arithmetic asks for, while clips are fewer than dims
    "knn": "every clip meets every other: 2",
    "mahalanobis": "eigenvectors of the clips' n × n products: up to 3; of the d × d covariance beyond 1536 clips: 1",
    "c1": "as mahalanobis, twice",
    "flow": "principal components as mahalanobis; its epochs: 1",
}


def measured(call, *arguments):
    """Return the CPU-seconds and the peak memory in MB of a call in a fork of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call(*arguments)
            status = 0
        finally:
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{call.__name__}{arguments} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def clips_of_noise(folder, count, seconds):
    """Return the path, in a list, of a clip table of ``count`` clips of noise, all the same one under other names."""
    import soundfile

    from nearfar.jobs.files import write_table

    paths = [Path(folder, f"{i:04d}.wav") for i in range(count)]
    wave = np.random.default_rng(0).normal(0, 0.1, (16000 * seconds, 2))
    soundfile.write(paths[0], wave, 16000)
    for path in paths[1:]:
        os.link(paths[0], path)
    names = [path.name for path in paths]
    write_table(Path(folder, "clips"), {"file": names, "place": list(map(str, paths)), "content": names})
    return [str(Path(folder, "clips"))]


def embed(count):
    """Embed both channels of ``count`` clips of 1 s."""
    from nearfar.backbones.embed import embed_machine
    from nearfar.jobs.provenance import MODELS

    with tempfile.TemporaryDirectory() as folder:
        outputs = {channel: Path(folder, f"{channel}.parquet") for channel in ("near", "far")}
        embed_machine(clips_of_noise(folder, count, seconds=1), MODELS / "eat-small", outputs, made="")


def exponent(sizes, costs):
    """Return the slope of log cost over log size."""
    return np.polyfit(np.log(sizes), np.log(costs), 1)[0]


def over_clips():
    """Return a dict from what was done to its (CPU-seconds, MB) at each of CLIPS."""
    found = {}
    for count in CLIPS:
        project = Project(1, count)
        for name in detectors(project):
            with tempfile.TemporaryDirectory() as out:
                call = measured(detect, project, name, project.machines[0], Path(out))
            found.setdefault(name, []).append(call)
        found.setdefault("embedding", []).append(measured(embed, count))
    return found


def over_machines():
    """Return the CPU-seconds of the whole stage, of Snakemake alone, and the wall time, at each of MACHINES."""
    project, found = Project(0, 600), []
    for count in MACHINES:
        while len(project.machines) < count:
            project.add()
        project.config["seed"] = count  # another one than before: all is done again
        own, jobs, wall, _ = project.run(cores=2)
        found.append((own + jobs, own, wall))
    return found


def plot(clips, machines, path):
    """Draw both, log over log, as a png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name, costs in clips.items():
        left.loglog(CLIPS, [cpu for cpu, _ in costs], marker=".", label=name)
    left.set(xlabel="clips of a machine", title="one machine")
    for name, column in (
        ("stage, CPU-seconds", 0),
        ("of these Snakemake's own", 1),
        ("stage, seconds on two cores", 2),
    ):
        right.loglog(MACHINES, [row[column] for row in machines], marker=".", label=name)
    right.set(xlabel="machines of 600 clips", title="detector stage")
    for axes, ticks in ((left, CLIPS), (right, MACHINES)):
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.set_ylabel("seconds")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def lines(path):
    """Yield the section, and write the plot to ``path``."""
    clips, machines = over_clips(), over_machines()
    plot(clips, machines, path)
    yield "CPU-seconds of a job (one thread), the exponent from 1,000 clips on, and the peak memory at 4,000 clips:\n"
    yield f"| clips of a machine | {' | '.join(map(str, CLIPS))} | exponent | MB | asked for by the arithmetic |"
    yield "|---" * (len(CLIPS) + 4) + "|"
    for name, costs in clips.items():
        times = [cpu for cpu, _ in costs]
        cells = [f"{cpu:.2f}" for cpu in times] + [f"{exponent(CLIPS[2:], times[2:]):.2f}", f"{costs[-1][1]:.0f}"]
        forced = FORCED.get(name.removeprefix("lccr_") if name != "lccr_mahalanobis" else name, "1")
        yield f"| `{name}` | {' | '.join(cells)} | {forced} |"
    yield "\nThe detector stage of machines of 600 clips, `--cores 2`:\n"
    yield f"| machines | {' | '.join(map(str, MACHINES))} | exponent |"
    yield "|---" * (len(MACHINES) + 2) + "|"
    for column, name in enumerate(("CPU-seconds", "of these Snakemake's own", "seconds")):
        values = [row[column] for row in machines]
        yield f"| {name} | {' | '.join(f'{v:.1f}' for v in values)} | {exponent(MACHINES, values):.2f} |"
    yield f"\n![growth]({path.name})"


def main():
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plot", type=Path, default=Path("benchmarks/growth.png"))
    for line in lines(parser.parse_args().plot):
        print(line, flush=True)


if __name__ == "__main__":
    main()
