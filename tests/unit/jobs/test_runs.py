"""How jobs reach Python, whatever the folder is called, and what is said of runs that are over."""

import sys

import pytest

from nearfar.errors import NearfarError
from nearfar.jobs import runs
from nearfar.jobs.runs import reach_python

NAMES = ["with space", "it's", "a;b", "$HOME", "a&b(1)"]


@pytest.fixture(params=NAMES)
def odd(request, tmp_path):
    (tmp_path / request.param).mkdir()
    return tmp_path / request.param


def test_python_in_a_folder_with_an_odd_name_is_reached_from_that_folder(odd, monkeypatch):
    monkeypatch.chdir(odd)
    monkeypatch.setattr(sys, "executable", str(odd / ".venv/bin/python"))
    reach_python()
    assert sys.executable == ".venv/bin/python"


def test_from_elsewhere_it_is_refused_in_one_line(odd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(odd / ".venv/bin/python"))
    with pytest.raises(NearfarError) as error:
        reach_python()
    assert str(error.value).startswith(f"{odd}/.venv/bin/python: Snakemake cannot start")
    assert "start in the folder that holds .venv" in str(error.value)


def test_any_other_python_is_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.11")
    reach_python()
    assert sys.executable == "/usr/bin/python3.11"


def test_a_run_that_ends_by_itself_while_it_is_waited_for_was_not_killed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    runs.RUNS.mkdir(parents=True)
    own = runs.RUNS / "4711"
    own.touch()
    asked = iter([False, True])

    def ended(path):
        if over := next(asked):
            path.unlink()  # as it does when it ends
        return over

    monkeypatch.setattr(runs, "_ended", ended)
    runs.recover()
    assert not own.exists() and capsys.readouterr().err == ""
