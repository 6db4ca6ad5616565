import os
import pty
import sys
import time

from nearfar.progress import bar


def shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in bar(range(3), "maps"):
        time.sleep(0.6)


def test_a_terminal_sees_counts_speed_and_remaining_time(monkeypatch):
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        shown(monkeypatch, terminal)
        terminal.flush()
        text = os.read(ours, 100000).decode()
    assert "maps:" in text and "2/3" in text and "clip" in text and "<" in text


def test_a_file_sees_nothing(monkeypatch, tmp_path):
    with open(tmp_path / "log", "w") as file:
        shown(monkeypatch, file)
    assert not (tmp_path / "log").read_text()
