"""The page as a reader has it, in Chromium: skipped where none is installed."""

import json
import re

import numpy as np
import pytest
from chromium import CHROMIUM, Page
from conftest import ROOT, write_clips, write_machine

from nearfar.jobs.files import write_table
from nearfar.report.machine import report_machine
from nearfar.report.render import write_report
from nearfar.seeds import seed_for

pytestmark = pytest.mark.slow
DETECTORS = ("one", "other")
SYSTEM = {"weights": {"one": 0.7, "other": 0.3}, "ranks": "train"}
PAPER = {"percentile": 90, "false_alarm": None, "fdr": None}
CONFIGURED = {"detectors": {name: {"method": "knn", "views": ["logmel/near"]} for name in DETECTORS}}
HOW = {"decision": PAPER, "worst_windows": 3, "clips": 3, "megabytes": 4.0, "seed": 0, "resamples": 50}


def write_scores(place, machine, train, test):
    """Write normalized, fused and training scores, anomalies above the rest; return their paths as a job has them."""
    from nearfar.data.clips import read_clips
    from nearfar.systems.machine import fuse_machine

    clips = read_clips([train, test])
    rng = np.random.default_rng(seed_for(0, machine))
    paths = {name: place / f"normalized/{name}/{machine}.parquet" for name in DETECTORS}
    for path in paths.values():
        score = rng.standard_normal(len(clips["file"])) + 2.0 * (clips["label"] == "anomaly")
        write_table(path, {"file": clips["file"], "split": clips["split"], "score": score})
    given = {
        "train": train,
        "test": test,
        "scores": place / f"{machine}.parquet",
        "training": place / f"t{machine}.parquet",
    }
    fuse_machine(paths, given["scores"], given["training"], system=SYSTEM, decision=PAPER)
    return given, paths


def write_reports(place, machines=("alpha",), **changed):
    """Write the page of a system on machines of noise; return its path and those of what it is made from."""
    parts = {}
    for machine in machines:
        write_machine(place / "data", machine)
        given, normalized = write_scores(place, machine, *write_clips(machine, place / "data" / machine, place))
        parts[machine] = place / f"{machine}.json"
        report_machine(machine, given, normalized, parts[machine], system=SYSTEM, channels=2, **HOW | changed)
    path = place / "report.html"
    write_report(
        "some <system>", parts, path, unscored={"gamma": "no <clip>"}, config=CONFIGURED | {"results": "a & b"}
    )
    return path, parts


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of two machines, opened from the disk."""
    if CHROMIUM is None:
        pytest.skip("no Chromium; install Debian's package chromium")
    place = tmp_path_factory.mktemp("page")
    path, _ = write_reports(place, ("alpha", "beta"))
    with Page(path.as_uri(), place / "profile", width=400) as opened:
        yield opened


ROWS = "[...document.querySelectorAll('#alpha .ranking tbody tr')].filter(row => !row.hidden)"


def slide(page, value):
    """Move the threshold of alpha to a value, a JavaScript expression of the slider."""
    page.run(
        "(() => { const slider = document.querySelector('#alpha [data-slider]');"
        f"slider.value = {value}; slider.dispatchEvent(new Event('input')); }})()"
    )


def said(page, key):
    return page.run(f"document.querySelector('#alpha [data-out=\"{key}\"]').textContent")


def test_opens_from_the_disk_without_a_complaint_and_asks_for_nothing_else(page):
    assert page.complaints == []
    assert {url.split(":")[0] for url in page.asked_for} == {"file", "data"}
    assert sum(url.startswith("file:") for url in page.asked_for) == 1


def test_is_usable_at_400_pixels(page):
    assert page.run("document.documentElement.scrollWidth") == 400


def test_plays_every_sound(page):
    durations = page.run(
        "Promise.all([...document.querySelectorAll('audio')].slice(0, 12).map(audio => new Promise(done => {"
        "audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done('refused');"
        "audio.preload = 'metadata'; audio.load(); })))"
    )
    assert len(durations) == 12
    assert all(0.45 < duration < 0.65 for duration in durations), durations  # clips of half a second
    assert page.run("document.querySelector('audio').play().then(() => 'plays')") == "plays"


def test_sorts_by_every_column_that_is_clicked(page):
    scores = f"{ROWS}.map(row => Number(row.dataset.score))"
    page.run("document.querySelector('#alpha [data-sort=\"2\"]').click()")
    ascending = page.run(scores)
    assert ascending == sorted(ascending) and len(ascending) == 8
    page.run("document.querySelector('#alpha [data-sort=\"2\"]').click()")
    assert page.run(scores) == ascending[::-1]
    assert page.run("document.querySelector('#alpha th[aria-sort]').textContent") == "Score"


def test_filters_by_words_and_by_kind(page):
    page.run(
        "(box => { box.value = 'anomaly_0001'; box.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#alpha [data-search]'))"
    )
    assert page.run(f"{ROWS}.length") == 2 and said(page, "shown") == "2 shown"
    page.run(
        "(box => { box.value = ''; box.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#alpha [data-search]'))"
    )
    page.run(
        "(box => { box.value = 'anomaly'; box.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#alpha [data-filter]'))"
    )
    assert page.run(f"{ROWS}.length") == int(said(page, "alarms"))
    page.run(
        "(box => { box.value = ''; box.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#alpha [data-filter]'))"
    )


def test_the_slider_changes_alarms_precision_and_recall(page):
    slide(page, "slider.max")
    assert said(page, "alarms") == "0" and said(page, "recall") == "0.0 %" and said(page, "precision") == "–"
    slide(page, "Number(slider.min) - 1")
    assert int(said(page, "alarms")) >= 7 and said(page, "expected") not in ("0.0", "")
    page.run("document.querySelector('#alpha [data-reset]').click()")
    made = page.run("document.querySelectorAll('#alpha .ranking .badge.anomaly').length")
    assert said(page, "alarms") == str(made)


def test_the_slider_moves_by_the_keyboard(page):
    page.run("document.querySelector('#alpha [data-slider]').focus()")
    before = said(page, "threshold")
    page.press("ArrowRight", 39)
    assert float(said(page, "threshold")) > float(before)
    page.run("document.querySelector('#alpha [data-reset]').click()")


def test_a_link_opens_the_card_it_leads_to(page):
    card = page.run("document.querySelectorAll('#alpha details.card')[1].id")
    assert not page.run(f"document.getElementById('{card}').open")
    page.run(
        f"new Promise(done => {{ addEventListener('hashchange', () => setTimeout(done)); location.hash = '{card}'; }})"
    )
    assert page.run(f"document.getElementById('{card}').open")


def test_every_picture_and_control_has_words(page):
    bare = page.run(
        "[...document.querySelectorAll('img, audio, svg, input, select')].filter(e => !(e.alt || e.ariaLabel || "
        "(e.labels && e.labels.length))).map(e => e.outerHTML.slice(0, 80))"
    )
    assert bare == []


def test_the_page_is_one_file_and_escapes_what_it_is_given(tmp_path):
    path, parts = write_reports(tmp_path)
    text = path.read_text()
    assert "some &lt;system&gt;" in text and "no &lt;clip&gt;" in text and "a &amp; b" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    known = json.loads(parts["alpha"].read_text())
    assert len(known["rows"]) == 8 and len(known["cards"]) >= 3
    assert str(ROOT) not in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    pages = [write_reports(tmp_path / name)[0].read_bytes().replace(name.encode(), b"x") for name in ("run_1", "run_2")]
    assert pages[0] == pages[1]


def test_all_three_signals_are_heard_where_they_fit_and_near_first_where_not(tmp_path):
    _, parts = write_reports(tmp_path / "all")
    cards = json.loads(parts["alpha"].read_text())["cards"]
    assert all(card["sounds"].keys() == {"near", "residual", "far"} and all(card["sounds"].values()) for card in cards)
    near = sum(len(card["sounds"]["near"]) for card in cards)
    _, parts = write_reports(tmp_path / "few", megabytes=(near + 1) / 1e6)
    cards = json.loads(parts["alpha"].read_text())["cards"]
    assert all(card["sounds"]["near"] and not card["sounds"]["far"] for card in cards)


def test_sounds_are_left_out_where_they_take_too_much(tmp_path):
    path, parts = write_reports(tmp_path, megabytes=0.01)
    known = json.loads(parts["alpha"].read_text())
    sounds = [sound for card in known["cards"] for sound in card["sounds"].values() if sound]
    assert sum(map(len, sounds)) < 10_000 and known["silent"] > 0
    assert "Some sounds were left out" in path.read_text()
