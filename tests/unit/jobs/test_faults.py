"""A machine's faults are handed on, and cost no other."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
from conftest import CONFIG

from nearfar.errors import NearfarError, SetupError
from nearfar.jobs.faults import fault_of, faults, without_faults, write_faults
from nearfar.jobs.job import logged

OWN = CONFIG["data"] | {"clips": "mine.csv"}


def job(folder, data=OWN, given=()):
    """What a job of the machine pump sees, with one output."""
    wildcards = namedtuple("Wildcards", "machine")("pump")
    about = {"rule": "feature", "wildcards": wildcards, "config": {"data": data}, "input": list(given)}
    return SimpleNamespace(**about, output=[str(folder / "out")], log=[str(folder / "log")])


def files(folder, **contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]


def test_a_reason_is_read_back_and_other_files_have_none(tmp_path):
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    write_faults(paths, "pump: über alle Maßen still")
    assert [fault_of(path) for path in paths] == ["pump: über alle Maßen still"] * 2
    others = files(tmp_path, empty=b"", short=b"nearfar", parquet=b"PAR1" * 10)
    assert [fault_of(path) for path in others] == [None] * 3 and fault_of(tmp_path) is None
    assert faults([*paths, *others]) == ["pump: über alle Maßen still"]


def test_machines_whose_file_holds_nothing_are_left_out_of_all_columns(tmp_path):
    clips, scores = files(tmp_path, a=b"x", b=b"x", c=b"x"), files(tmp_path, d=b"x", e=b"x", f=b"x")
    write_faults([scores[1]], "too few")
    names = ["fan", "pump", "valve"]
    assert without_faults(names, clips, scores) == [["fan", "valve"], [clips[0], clips[2]], [scores[0], scores[2]]]


def test_where_no_machine_is_left_the_first_reason_is_said(tmp_path):
    clips = files(tmp_path, a=b"x", b=b"x")
    write_faults(clips, "too few")
    with pytest.raises(NearfarError, match="no machine can be used; the first fault: too few"):
        without_faults(["fan", "pump"], clips)


def test_a_machine_s_fault_ends_its_job_well_and_stands_in_the_output(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, logged(job(tmp_path)):
        raise NearfarError("pump/a.wav: is silent; remove it")
    assert end.value.code == 0 and fault_of(tmp_path / "out") == "pump/a.wav: is silent; remove it"
    assert "pump cannot be scored: pump/a.wav: is silent" in capsys.readouterr().err
    assert "is silent" in (tmp_path / "log").read_text()


def test_and_is_handed_on_without_a_computation(tmp_path):
    write_faults([tmp_path / "clips"], "too few")
    reached = False
    with pytest.raises(SystemExit) as end, logged(job(tmp_path, given=[str(tmp_path / "clips")])):
        reached = True
    assert end.value.code == 0 and not reached and fault_of(tmp_path / "out") == "too few"


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (SetupError("device: 'cuda' is not to be had here; set it to 'cpu'"), OWN),
        (NearfarError("pump/a.wav: is silent; remove it"), OWN | {"bad_clips": "refuse"}),
        (NearfarError("pump/a.wav: is silent; remove it"), CONFIG["data"]),
        (ValueError("a defect of ours"), OWN),
    ],
)
def test_what_is_no_fault_of_the_recordings_or_must_not_be_skipped_ends_the_run(tmp_path, error, data):
    with pytest.raises(SystemExit) as end, logged(job(tmp_path, data)):
        raise error
    assert end.value.code == 1 and not (tmp_path / "out").exists()
