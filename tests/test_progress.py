import io
import sys
import time

import pytest

from nearfar.progress import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_a_terminal_sees_counts_speed_and_remaining_time_a_file_nothing(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in bar(range(3), "maps"):
        time.sleep(0.6)
    text = stream.getvalue()
    if stream.isatty():
        assert "maps:" in text and "2/3" in text and "clip" in text and "<" in text
    else:
        assert not text
