"""The page of somebody's own recordings: long ones, one microphone, no labels, and some that were left out."""

import json

import pyarrow.parquet as pq
import pytest
from conftest import write_machine
from test_page import CONFIGURED, HOW, SYSTEM, write_scores

from nearfar.data.clips import clip_table, table_of
from nearfar.data.places import place_of
from nearfar.data.skipped import window_name
from nearfar.report.machine import report_machine
from nearfar.report.render import write_report


def windowed(table, far):
    """Return a clip table with each clip cut into two windows, without labels; the last window of all was skipped."""
    rows = []
    for row in table.to_pylist():
        for start in (0.0, 0.25):
            place = place_of(row["path"], 0, far, start, 0.25)
            own = {"file": window_name(row["file"], start), "place": place, "start": start, "frames": 4000}
            rows.append(row | own | {"label": None, "content": row["content"]})
    lost = rows.pop()
    skipped = json.dumps([[lost["file"], "is <silent>; record it again", None]])
    return table_of(rows).replace_schema_metadata({"skipped": skipped})


@pytest.mark.parametrize("far", [1, None], ids=["two microphones", "one microphone"])
def test_long_recordings_without_labels(tmp_path, far):
    write_machine(tmp_path / "data", "pump")
    given = {}
    for split in ("train", "test"):
        table = clip_table("pump", tmp_path / "data/pump", split, given.get("train"))
        given[split] = tmp_path / f"{split}.parquet"
        pq.write_table(windowed(table, far), given[split])
    paths, normalized = write_scores(tmp_path, "pump", given["train"], given["test"])
    report_machine("pump", paths, normalized, tmp_path / "pump.json", system=SYSTEM, channels=2 if far else 1, **HOW)
    known = json.loads((tmp_path / "pump.json").read_text())
    assert len(known["rows"]) == 8 and known["labels"] is None and known["windows"] == 2
    assert sorted(map(len, (starts for starts, _ in known["timelines"].values()))) == [2] * 7
    assert known["skipped"][-1][2:] == [0.25, "is <silent>; record it again"]
    assert set(known["cards"][0]["pictures"]) == ({"near", "far", "residual"} if far else {"near"})
    write_report("s", {"pump": tmp_path / "pump.json"}, tmp_path / "r.html", unscored={}, config=CONFIGURED)
    text = (tmp_path / "r.html").read_text()
    assert "Over time" in text and "from 0.2 s (test): is &lt;silent&gt;" in text
    assert "ROC curve" not in text and "<dt>Recall" not in text
