import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
from conftest import noise
from exported import FUSION, batch_of, clips_beside, learned, small_installation, wave_of

import nearfar
from nearfar.cli import main
from nearfar.errors import NearfarError
from nearfar.export.clips import score_file


@pytest.fixture(scope="module")
def pump(tmp_path_factory):
    return learned(tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="module")
def model(pump):
    return nearfar.load(pump)


def run(capsys, *words):
    """Run the command; return its status, what it printed and what it said on stderr."""
    status = main(["score", *map(str, words)])
    return status, *capsys.readouterr()


def refusal(model, wave, rate=16000, machine="alpha"):
    with pytest.raises(NearfarError) as error:
        model.score(wave, rate, machine)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("fusion", [FUSION, {"weights": {"raw": 0.7, "left": 0.3}, "ranks": "test"}])
def test_scores_decisions_and_thresholds_are_those_of_the_batch_in_any_order(tmp_path, fusion):
    pump = learned(tmp_path, fusion)
    batch, model = batch_of(pump), nearfar.load(pump)
    for path in reversed(clips_beside(pump)):
        [row] = score_file(model, path)
        assert row.scored.score == pytest.approx(batch["level"][path.name], abs=1e-9)
        assert row.scored.threshold == pytest.approx(batch["threshold"][path.name], abs=1e-12)
        assert (row.decision == "anomaly") == batch["decision"][path.name]


def test_a_wave_is_scored_as_its_file(model, pump):
    for path in clips_beside(pump)[:2]:
        wave, rate = soundfile.read(path)
        assert model.score(wave, rate, "alpha") == score_file(model, path)[0].scored


def test_the_p_value_counts_training_clips_and_one_more(model, pump):
    training = model.fitted("alpha").training
    scored = score_file(model, clips_beside(pump)[0])[0].scored
    assert scored.p == (1 + sum(training >= scored.score)) / (len(training) + 1)


def test_reasons_are_the_members_of_the_highest_ranks(model, pump):
    scored = score_file(model, clips_beside(pump)[0])[0].scored
    ranks = [rank for _, rank in scored.ranks]
    assert {name for name, _ in scored.ranks} == {"raw", "whitened", "left"} and ranks == sorted(ranks, reverse=True)


def test_the_residual_is_left_out_where_far_is_not_far(pump, tmp_path):
    from nearfar.export.bundle import Bundle, write_bundle

    bundle = Bundle(pump)
    bundle.extract("machines/alpha", tmp_path)
    bundle.model["machines"] = {"alpha": bundle.model["machines"]["alpha"] | {"far": False}}
    members = {name: tmp_path / name for name in bundle.digests if name.startswith("machines/alpha")}
    write_bundle(tmp_path / "near.nearfar", bundle.model, members)
    scored = score_file(nearfar.load(tmp_path / "near.nearfar"), clips_beside(pump)[0])[0].scored
    assert {name for name, _ in scored.ranks} == {"raw", "whitened"}


def test_what_was_made_otherwise_is_refused(model):
    wave = noise(("other",)).astype(np.float32)
    assert "has 48000 Hz, and the model is made of 16000 Hz" in refusal(model, wave, 48000)
    assert "has 3 channels, and the model is made of 2 channels" in refusal(model, np.repeat(wave, 2, axis=1)[:, :3])
    assert "has 1 channel, and the model is made of 2 channels" in refusal(model, wave[:, 0])
    assert "is of int16" in refusal(model, np.int16(wave * 1000))
    assert "has the shape (1, 2, 3)" in refusal(model, np.zeros((1, 2, 3)))


def test_what_cannot_be_scored_is_refused(model):
    wave = noise(("unfit",)).astype(np.float32)
    assert "NaN or infinite" in refusal(model, np.where(wave > 0.2, np.nan, wave))
    assert "channel 0 is silent" in refusal(model, wave * [0, 1])
    assert "its channels are equal" in refusal(model, wave[:, [0, 0]])
    assert "too short" in refusal(model, wave[:100])
    assert "lasts 30 s, 20 s is the most; cut it" in refusal(model, noise(("long",), 30.0))
    assert refusal(model, wave, machine="gamma").endswith("has no machine 'gamma'; it holds alpha, beta")
    assert "name its machine, one of alpha, beta" in refusal(model, wave, machine=None)


def test_a_long_recording_is_scored_by_windows(tmp_path):
    pump = learned(tmp_path, window=0.5)
    path = tmp_path / "alpha" / "long.wav"
    path.parent.mkdir()
    parts = clips_beside(pump)[:3]
    soundfile.write(path, np.concatenate([wave_of(part) for part in parts]), 16000, subtype="PCM_16")
    rows = score_file(nearfar.load(pump), path)
    assert [(row.clip, row.start) for row in rows] == [(f"{path}@{t:010.3f}", t) for t in (0.0, 0.5, 1.0)]
    batch = batch_of(pump)
    assert [row.scored.score for row in rows] == pytest.approx([batch["level"][p.name] for p in parts], abs=1e-9)


def test_a_clip_that_cannot_be_scored_is_told_and_the_rest_is_scored(pump, tmp_path, capsys):
    good, bad = clips_beside(pump)[0], tmp_path / "alpha" / "bad.wav"
    bad.parent.mkdir()
    bad.write_bytes(good.read_bytes()[:3000])
    gone, elsewhere = tmp_path / "alpha" / "gone.wav", tmp_path / "stray.wav"
    elsewhere.write_bytes(good.read_bytes())
    status, out, err = run(capsys, pump, bad, gone, elsewhere, good)
    lines = out.splitlines()
    assert status == 2 and err == "nearfar: 3 of 4 clips could not be scored; see their lines\n"
    assert [line.split()[0] for line in lines[:3]] == ["not"] * 3 and str(good) in lines[3]
    assert "no such file" in lines[1] and "name its machine" in lines[2]


def test_the_machine_is_that_of_the_nearest_folder_or_as_told(pump, capsys):
    clip = clips_beside(pump, "beta")[0]
    _, out, _ = run(capsys, pump, clip, "--json")
    assert json.loads(out)["machine"] == "beta"
    _, out, _ = run(capsys, pump, clip, "--json", "--machine", "alpha")
    assert json.loads(out)["machine"] == "alpha"
    status, _, err = run(capsys, pump, clip, "--machine", "gamma")
    assert status == 2 and "has no machine 'gamma'; it holds alpha, beta" in err


def test_folders_and_a_list_on_stdin_give_the_same_rows(pump, capsys, monkeypatch):
    folder = clips_beside(pump)[0].parent
    _, by_folder, _ = run(capsys, pump, folder, "--csv")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(str, clips_beside(pump))) + "\n"))
    _, by_list, _ = run(capsys, pump, "-", "--csv")
    assert by_folder == by_list
    assert by_folder.splitlines()[0] == "clip,start,machine,score,threshold,decision,p,reasons,note"
    assert len(by_folder.splitlines()) == 1 + len(clips_beside(pump))


def test_alarm_is_the_exit_status(pump, tmp_path, capsys):
    decisions = batch_of(pump)["decision"]
    by = {bool(decisions[path.name]): path for path in clips_beside(pump)}
    (tmp_path / "alpha").mkdir()
    loud = tmp_path / "alpha" / "tone.wav"
    tone = wave_of(by[False]) + 0.5 * np.sin(np.arange(8000) * 0.8)[:, None] * [1, 0.3]
    soundfile.write(loud, tone, 16000, subtype="FLOAT")
    assert run(capsys, pump, by[False], "--alarm")[0] == 0
    assert run(capsys, pump, by[False], loud)[0] == 0
    assert run(capsys, pump, by[False], loud, tmp_path / "gone.wav", "--alarm")[0] == 1


def test_files_may_stand_after_options(pump, capsys):
    first, second = clips_beside(pump)[:2]
    status, out, _ = run(capsys, pump, "--machine", "alpha", first, "--csv", second)
    assert status == 0 and [line.split(",")[0] for line in out.splitlines()[1:]] == [str(first), str(second)]


@pytest.mark.parametrize("words", [["--frobnicate"], ["a.wav", "--frobnicate", "b.wav"]])
def test_an_option_that_there_is_not_is_refused(pump, capsys, words):
    with pytest.raises(SystemExit):
        main(["score", str(pump), *words])
    assert "unrecognized arguments: --frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize("member", ["machines/alpha/raw.safetensors", "machines/alpha/left.safetensors"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_model_is_told_once_and_no_fault_of_the_clips(pump, tmp_path, capsys, member, damage):
    broken, out = tmp_path / "broken.nearfar", tmp_path / "out.csv"
    with zipfile.ZipFile(pump) as whole, zipfile.ZipFile(broken, "w") as archive:
        for name in whole.namelist():
            if name != member or damage == "changed":
                archive.writestr(name, whole.read(name)[: None if name != member else -1])
    said = f"{member} in it is not as it was exported" if damage == "changed" else f"lacks {member}; copy it again"
    for words in ([], ["--out", out]):
        status, printed, err = run(capsys, broken, clips_beside(pump)[0].parent, *words)
        assert status == 2 and not printed and err.startswith(f"nearfar: {broken}: {said}") and err.count("\n") == 1
    assert out.read_text().count("\n") == 1  # its header: the clips are still to be scored


@pytest.mark.parametrize("words", [[], ["--watch", "."], ["a.wav", "--watch", "."]])
def test_a_command_that_asks_for_nothing_or_too_much_is_refused(pump, capsys, words):
    status, _, err = run(capsys, pump, *words)
    assert status == 2 and err.startswith("nearfar: ") and err.count("\n") == 1


def test_an_empty_folder_is_refused(pump, tmp_path, capsys):
    status, _, err = run(capsys, pump, tmp_path)
    assert status == 2 and "no recording in it" in err


def test_a_library_that_cannot_be_loaded_is_one_line(pump, capsys, monkeypatch):
    def listeners(*_):
        raise OSError("Could not load this library: _torchaudio.so")

    monkeypatch.setattr("nearfar.export.model.listeners", listeners)
    status, out, err = run(capsys, pump, clips_beside(pump)[0])
    assert status == 2 and not out and err.count("\n") == 1
    assert "cannot be loaded (Could not load this library: _torchaudio.so); install nearfar anew" in err


@pytest.mark.slow
def test_export_and_score_need_the_small_installation_alone(pump, tmp_path):
    env = small_installation(tmp_path)
    command, known = [sys.executable, "-m", "nearfar.cli"], {"env": env, "capture_output": True, "text": True}
    probe = subprocess.run([sys.executable, "-c", "import pandas"], check=False, **known)
    assert "pandas is not installed" in probe.stderr
    out = tmp_path / "a.nearfar"
    done = subprocess.run([*command, "export", str(pump.parent), "--out", str(out)], check=False, **known)
    assert done.returncode == 0, done.stderr
    clip = clips_beside(pump)[0]
    done = subprocess.run([*command, "score", str(out), str(clip), "--json"], check=False, **known)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["score"] == pytest.approx(batch_of(pump)["level"][clip.name], abs=1e-9)


def test_a_rate_that_the_training_clips_cannot_show_has_no_threshold(pump, capsys, monkeypatch):
    monkeypatch.setattr("nearfar.export.model.threshold_at", lambda *_: np.inf)
    clip = clips_beside(pump)[0]
    _, out, _ = run(capsys, pump, clip, "--json")
    assert json.loads(out)["threshold"] is None and json.loads(out)["decision"] == "normal"
    assert "≤ inf" in run(capsys, pump, clip)[1]
