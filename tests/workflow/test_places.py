"""Folders of any name and in any place: the clone's and the results'."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TOY, Project, write_machine

pytestmark = pytest.mark.slow


@pytest.fixture(params=["with space", "it's (1) & 2"])
def odd(request, tmp_path):
    """A project in a folder of an odd name, with an environment of its own."""
    folder = tmp_path / request.param
    write_machine(folder / "data", "alpha")
    project = Project(folder, TOY)
    (folder / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        (folder / ".venv" / entry.name).symlink_to(entry)
    return project


def test_a_clone_in_a_folder_with_an_odd_name_runs(odd):
    command = [odd.folder / ".venv/bin/python", "-m", "snakemake", "--cores", "2", "results/scores/raw/alpha.parquet"]
    done = subprocess.run(command, cwd=odd.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (odd.folder / "results/scores/raw/alpha.parquet").is_file()


@pytest.mark.parametrize(
    "places", [{"results": "my (new) results/"}, {"results": "data/alpha/test"}, {"results": "data"}]
)
def test_results_of_any_name_and_in_the_data_are_made_once_and_change_no_data(project, places):
    project.config |= places
    project.save()
    target = str(Path(places["results"], "one/eval.csv"))
    done = project.run(target)
    assert done.returncode == 0, done.stdout
    assert project.planned(target) == set()
    assert {path.stem for path in (project.folder / places["results"] / "clips/train").iterdir()} == {"alpha", "beta"}


def test_data_in_the_results_stay_as_they_are(project):
    (project.folder / "results").mkdir()
    (project.folder / "data").rename(project.folder / "results/data")
    project.config["data"]["root"] = "results/data"
    project.save()
    clips = {path: path.read_bytes() for path in (project.folder / "results/data").rglob("*.wav")}
    done = project.run("results/one/eval.csv")
    assert done.returncode == 0 and project.planned("results/one/eval.csv") == set(), done.stdout
    assert len(clips) > 20 and all(path.read_bytes() == content for path, content in clips.items())


READ_ONLY = 'mount --bind {0} {0} && mount -o remount,ro,bind {0} && exec "$@"'


@pytest.mark.parametrize(("folder", "shown"), [("results", "results"), ("results/scores", "results/scores")])
def test_results_that_are_read_only_end_in_one_line_where_there_is_something_to_do(project, folder, shown):
    known, new = "results/scores/raw/alpha.parquet", "results/scores/knn/alpha.parquet"
    assert project.run(known).returncode == 0
    project.before = ["unshare", "--mount", "sh", "-c", READ_ONLY.format(folder), "sh"]
    if subprocess.run([*project.before, "true"], cwd=project.folder, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    assert "Nothing to be done" in project.run(known).stdout
    done = project.run(new)
    lines = [line for line in done.stdout.splitlines() if "nearfar: " in line]
    assert done.returncode and "Traceback" not in done.stdout and "OSError" not in done.stdout, done.stdout
    assert len(lines) == 1 and f"folder {shown} cannot be written to; mount or make it writable" in lines[0]
