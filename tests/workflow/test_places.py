"""Folders of any name: the clone's and the results'."""

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
