import errno
import pickle
from pathlib import Path

import pytest
import torch

from nearfar.errors import NearfarError
from nearfar.learning import resume
from nearfar.learning.resume import identity, read_state, write_state

MODULE = "src/nearfar/learning/schedule.py"


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_a_state_comes_back_as_it_was(tmp_path):
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        "log": [{"epoch": 1, "loss": 0.1 + 0.2}],
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    write_state(tmp_path / "folder/state", "mine", state)
    assert same(read_state(tmp_path / "folder/state", "mine"), state)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["state"]


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("broken", ["absent", "empty", "cut", "text", "folder", "pickle", "list", "other"])
def test_what_is_no_state_of_this_training_is_ignored(tmp_path, broken, capsys):
    path = tmp_path / "state"
    write_state(path, "mine", {"step": torch.ones(100)})
    whole = path.read_bytes()
    contents = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "text": b"no state\n" * 9,
        "pickle": pickle.dumps(Evil(), 2),
    }
    if broken in ("absent", "folder"):
        path.unlink()
    if broken == "folder":
        path.mkdir()
    if broken in contents:
        path.write_bytes(contents[broken])
    if broken == "list":
        torch.save([1, 2], path)
    assert read_state(path, "theirs" if broken == "other" else "mine") is None
    assert "run" not in capsys.readouterr().out


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NearfarError, match=r"state: cannot be written \(no space left on device\)"):
        write_state(tmp_path / "state", "mine", {"step": torch.ones(10**6)})


def test_settings_inputs_code_and_libraries_tell_trainings_apart(tmp_path, monkeypatch):
    file = tmp_path / "input"
    file.write_text("one")
    mine = identity({"lr": 0.1, "projection": [8]}, [file], MODULE)
    assert mine == identity({"projection": [8], "lr": 0.1}, [file], MODULE)
    assert mine != identity({"lr": 0.2, "projection": [8]}, [file], MODULE)
    assert mine != identity({"lr": 0.1, "projection": [8]}, [file], "src/nearfar/learning/losses.py")
    file.write_text("two")
    assert mine != identity({"lr": 0.1, "projection": [8]}, [file], MODULE)
    file.write_text("one")
    monkeypatch.setattr(resume, "version", lambda name: "0.0")
    assert mine != identity({"lr": 0.1, "projection": [8]}, [file], MODULE)
