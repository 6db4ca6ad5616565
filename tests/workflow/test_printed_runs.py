"""What a person sees of a run."""

import re

import pytest

pytestmark = pytest.mark.slow
LINE = re.compile(r"\d\d:\d\d:\d\d  ( *\d+)/(\d+)  (\S+)( .+)?  \(\d+ s(; about \d+ s left)?\)")


def one_machine(project):
    project.config["data"]["machines"] = ["alpha"]
    project.save()
    return project


def jobs(done):
    return [match for match in map(LINE.fullmatch, done.stdout.splitlines()) if match]


def test_a_run_is_a_line_a_job_and_ends_with_its_tables(project):
    """Also where there is nothing to be done, and all of Snakemake's words on demand."""
    one_machine(project)
    targets = ["results/one/eval.csv", "results/one/ranking.csv", "results/signals/alpha.json"]
    done = project.run(*targets)
    assert done.returncode == 0, done.stdout
    lines = jobs(done)
    assert [int(line[1]) for line in lines] == list(range(1, int(lines[0][2]) + 1))
    assert any(line[5] for line in lines) and not lines[-1][5]
    assert {line[3] for line in lines} >= {"clips", "detect", "fuse", "evaluate"}
    assert not re.search(r"^ +(input|output|reason):", done.stdout, re.MULTILINE), "Snakemake's own lines"
    shown = done.stdout.splitlines()
    assert [shown.count(target) for target in targets] == [1, 1, 1]
    assert done.stdout.count("Ω ") == 1
    assert len([line for line in shown if re.match(r"alpha +\d+ ", line) and ".wav" in line]) == 8
    again = project.run(targets[0])
    assert "Nothing to be done" in again.stdout and again.stdout.count("Ω ") == 1
    everything = project.run("--verbose", "--forcerun", "evaluate", "--", targets[0])
    assert "input: " in everything.stdout and not jobs(everything)
    for mode in (["--summary"], ["--dag"], ["-n"], ["--lint"], ["--report", "report.html"]):
        done = project.run(*targets, *mode)
        assert done.returncode == 0 and "Ω" not in done.stdout, done.stdout


def test_failures_come_once_more_at_the_end(project):
    for machine in ("alpha", "beta"):
        next((project.folder / f"data/{machine}/test").iterdir()).write_bytes(b"no sound")
    done = project.run("results/one/eval.csv", "--keep-going")
    last = done.stdout.splitlines()[-2:]
    for line in last:
        assert re.fullmatch(
            r"failed: clips test (alpha|beta): data/\1/test/\S+: not a readable wav file .* \(results/logs/clips/\S+\)",
            line,
        )
    assert done.returncode and sorted("alpha" in line for line in last) == [False, True]
    assert "CalledProcessError" not in done.stdout and "Error in rule" not in done.stdout


def test_a_table_of_all_detectors_says_beforehand_that_it_trains_autoencoders(project):
    project.config["detectors"]["baseline_mse"] = {
        "method": "reconstruction",
        "views": ["autoencoder/near"],
        "folds": 1,
    }
    project.config["features"]["autoencoder"] |= {"epochs": 1, "singular": "pseudo_inverse"}
    one_machine(project)
    done = project.run("results/detectors.csv")
    assert done.returncode == 0, done.stdout
    said = "nearfar: this trains autoencoders, one a machine (1), for baseline_mse"
    assert done.stdout.splitlines().index(said) < done.stdout.splitlines().index(jobs(done)[0][0])
    assert "baseline_mse" in done.stdout.split("results/detectors.csv")[-1]


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("results/system9/eval.csv", "no such system, system9; there are one, two"),
        ("results/one/evals.csv", "no rule makes it; in results/one there are "),
        ("results/one/scores/gamma.parquet", "no such machine, gamma; there are alpha, beta"),
        ("results/other/two/eval.csv", "results: is results; ask for results/two/eval.csv, or add the --configfile"),
        ("downlod", "no such target; there are skipped, backbone, "),
    ],
)
def test_a_target_that_nothing_makes_is_one_line_with_what_there_is(project, target, line):
    done = project.run("results/one/eval.csv", target)
    assert done.returncode and not jobs(done)
    said = [text for text in done.stdout.splitlines() if not text.startswith("Using workflow specific profile")]
    assert len(said) == 1 and said[0].startswith(f"nearfar: {target}: {line}"), done.stdout


@pytest.mark.parametrize(
    "target",
    [
        "./results/one/eval.csv",
        "results/one/submission/",
        "results/logs/clips/train_alpha.log",
        "results/benchmarks/detect/raw_alpha.tsv",
        "weight_choice",
    ],
)
def test_whatever_snakemake_takes_is_a_target(project, target):
    done = project.run(target, "-n", "--quiet", "progress", "--config", "seed=1", "--rerun-triggers", "mtime")
    assert done.returncode == 0, done.stdout
