"""A machine's faults are handed on, and cost no other."""

import pytest

from nearfar.errors import NearfarError
from nearfar.jobs.faults import fault_of, faults, without_faults, write_faults


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
