"""What the command nearfar does where nobody reads what it prints, as after ``| head -1``."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from exported import clips_beside, learned


def unread(*words):
    """Run the command, stdout a pipe that nobody reads; return its status and what it says on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "nearfar.cli", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=env, timeout=100)
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("lines", [1, 10_000], ids=["held back by Python", "more than it holds back"])
def test_a_page_ends_without_a_word_as_if_by_sigpipe(lines, tmp_path):
    (tmp_path / "compare.md").write_text("a line of a page\n" * lines)
    assert unread("table", tmp_path / "compare.md") == (128 + signal.SIGPIPE, "")


def test_help_ends_without_a_word():
    assert unread("score", "--help") == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv", "--out", "scores.csv")])
def test_scores_end_at_the_first_that_nobody_reads_and_it_is_in_the_csv(form, tmp_path):
    model = learned(tmp_path)
    form = [tmp_path / word if word.endswith(".csv") else word for word in form]
    said = unread("score", model, *clips_beside(model)[:3], "--machine", "alpha", *form)
    assert said == (128 + signal.SIGPIPE, "")
    if "--out" in form:
        assert len((tmp_path / "scores.csv").read_text().splitlines()) == 2  # the head and the first clip
