"""Results as they are printed."""

import pytest

from nearfar.cli import main
from nearfar.errors import NearfarError
from nearfar.systems.results import printed
from nearfar.systems.tables import COLUMNS


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_short_table_is_printed_whole_with_numbers_to_the_right(tmp_path):
    path = written(tmp_path / "weights.csv", "machine,weight,p\nfan,0.5,\npump_long,12.25,0.1\n")
    assert printed(path).splitlines() == [
        str(path),
        "machine    weight    p",
        "fan           0.5",
        "pump_long   12.25  0.1",
    ]


def test_of_a_long_table_the_first_rows_and_how_many_more(tmp_path):
    rows = "".join(f"fan,{rank},0.5,anomaly,fan/{rank}.wav\n" for rank in range(1, 51))
    path = written(tmp_path / "ranking.csv", "machine,rank,score,decision,path\n" + rows)
    lines = printed(path).splitlines()
    assert len(lines) == 1 + 1 + 20 + 1
    assert lines[2].split() == ["fan", "1", "0.5", "anomaly", "fan/1.wav"]
    assert lines[-1] == f"… and 30 more rows in {path}"


def test_of_a_long_ranking_each_machine_has_its_first_rows(tmp_path):
    rows = "".join(f"{machine},{rank},0.5\n" for machine in ("fan", "belt", "pump") for rank in range(1, 31))
    lines = printed(written(tmp_path / "ranking.csv", "machine,rank,score\n" + rows)).splitlines()
    shown = [tuple(line.split()[:2]) for line in lines[2:-1]]
    assert shown == [(machine, str(rank)) for machine in ("fan", "belt", "pump") for rank in range(1, 7)]
    assert lines[-1].startswith("… and 72 more rows in ")


@pytest.mark.parametrize("place", ["path", "recording,start,path"])
def test_of_a_ranking_the_detectors_are_left_to_the_file(tmp_path, place):
    values = ["a", "1.000", "d/a"][-place.count(",") - 1 :]
    row = ["fan", "1", "0.5", "anomaly", *values, "0.1", "0.2", "of one window"]
    header = f"machine,rank,score,decision,{place},knn,raw,note"
    lines = printed(written(tmp_path / "ranking.csv", f"{header}\n{','.join(row)}\n")).splitlines()
    assert lines[1].split() == ["machine", "rank", "score", "decision", *place.split(","), "note"]
    assert lines[2].split() == ["fan", "1", "0.5", "anomaly", *values, "of", "one", "window"]
    assert lines[-1] == f"… and the scores of 2 detectors in {tmp_path / 'ranking.csv'}"


def test_a_table_of_omega_has_its_line_and_all_its_rows(tmp_path):
    rows = [[f"m{i}", "00", *["50.00"] * 10] for i in range(30)] + [["all", "", *["61.50"] * 10]]
    path = written(tmp_path / "eval.csv", "\n".join(map(",".join, [COLUMNS, *rows])))
    lines = printed(path).splitlines()
    assert len(lines) == 1 + 1 + 31 + 1 and lines[-1] == "Ω 61.50 official, 61.50 own-domain (percent)"


def test_a_page_is_printed_as_it_is(tmp_path, capsys):
    path = written(tmp_path / "compare.md", "# A\n\n| Ω |\n")
    assert main(["table", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n# A\n\n| Ω |\n"


def test_cells_that_would_steer_a_terminal_or_are_ragged_are_harmless(tmp_path):
    path = written(tmp_path / "ranking.csv", 'a,b\nx,"\x1b[2J"\ny\nz,1,2\n')
    text = printed(path)
    assert "\x1b" not in text and len(text.splitlines()) == 5
    assert printed(written(tmp_path / "data.md", "# A\x1b[2J\n")).endswith("# A\\x1b[2J")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "an empty table; delete it"),
        ("a.parquet", "x", "neither a csv table nor a Markdown page"),
        ("a.csv", None, "cannot be read (no such file or directory)"),
    ],
)
def test_what_cannot_be_printed_is_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        written(path, content)
    with pytest.raises(NearfarError) as error:
        printed(path)
    assert f"{path}: {message}" in str(error.value)
