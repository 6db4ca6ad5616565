import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from nearfar.errors import NearfarError
from nearfar.jobs import progress
from nearfar.jobs.job import logged
from nearfar.jobs.progress import bar


def everything(descriptor):
    """What has been written to a terminal, which hands it on in pieces."""
    text = b""
    while select.select([descriptor], [], [], 0.3)[0]:
        text += os.read(descriptor, 65536)
    return text.decode()


@pytest.fixture
def terminal(monkeypatch):
    """A context in which stderr is a terminal; it yields a function that returns what was written there."""

    @contextmanager
    def opened():
        outer, inner = os.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        with open(outer, "rb"), open(inner, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            yield lambda: everything(outer)

    return opened


@pytest.fixture
def eat_fan(tmp_path, monkeypatch):
    """Snakemake's job of a rule ``eat`` and a machine ``fan``, its log written to at every look."""
    monkeypatch.setattr(progress, "EVERY", 0)
    return SimpleNamespace(rule="eat", wildcards=["fan"], log=[str(tmp_path / "fan.log")])


def lines(snakemake):
    with open(snakemake.log[0], encoding="utf-8", newline="") as log:
        text = log.read()
    assert "\r" not in text and text.endswith("\n")
    return text.splitlines()


def test_a_terminal_sees_counts_speed_and_remaining_time(terminal):
    with terminal() as shown:
        for _ in bar(range(3), "maps"):
            time.sleep(0.6)
        text = shown()
    assert "maps:" in text and "2/3" in text and "clip" in text and "<" in text


def test_a_terminal_that_cannot_be_opened_again_is_drawn_on_all_the_same(terminal, monkeypatch):
    monkeypatch.setattr("os.ttyname", lambda _: "/nowhere/pts/1")  # another user's, or of another container
    with terminal() as shown:
        for _ in bar(range(2), "maps"):
            time.sleep(0.6)
        text = shown()
    assert "maps:" in text and "1/2" in text


def test_a_file_sees_nothing(capfd):
    assert list(bar(range(3), "maps")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_the_log_of_a_job_has_lines_with_count_rate_and_remaining_time(eat_fan, capfd):
    with logged(eat_fan):
        for _ in bar(range(3), "maps"):
            time.sleep(0.6)
    *said, done = lines(eat_fan)
    assert len(said) >= 2 and said[-1].startswith("maps: 3/3") and done == "done"
    assert all(re.fullmatch(r"maps: \d/3, [\d.?]+clip/s, 00:0\d gone, [\d:?]+ left", line) for line in said), said
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_job_by_its_name_and_its_log_has_lines_too(eat_fan, terminal):
    with terminal() as shown, logged(eat_fan), bar(None, "embed", total=30, initial=10) as meter:
        meter.set_postfix(loss="0.5")
        meter.update(5)
        assert "eat fan:" in shown()
    assert "embed: 15/30" in lines(eat_fan)[-2] and "loss=0.5" in lines(eat_fan)[-2]


def test_lines_are_rare(eat_fan, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 10)
    with logged(eat_fan):
        for number in bar(range(1000), "maps"):
            time.sleep(0.6 * (number in (1, 500)))
    assert len(lines(eat_fan)) == 2


def test_the_failure_is_the_last_line_of_the_log(eat_fan, capfd):
    for error, last in ((NearfarError("a.wav: silent"), "nearfar: a.wav: silent"), (KeyError("x"), "KeyError: 'x'")):
        with pytest.raises(SystemExit), logged(eat_fan):
            left_open = bar(None, "embed", total=30)
            left_open.update(3)
            raise error
        left_open.close()
        said = lines(eat_fan)
        assert said[-1] == last and "done" not in said
    assert "\r" not in capfd.readouterr().err


def test_one_of_two_draws_on_a_terminal(terminal):
    with terminal() as shown:
        first, second = bar(None, "first", total=9), bar(None, "second", total=9)
        second.refresh()
        first.refresh()
        assert "second" not in (text := shown()) and "first" in text
        first.close()
        second.refresh()
        assert "second" in shown()
        second.close()
