"""What the samples of a clip and of a machine's clips say: refused, or warned of once."""

import os

import numpy as np
import pytest
import soundfile
from conftest import noise

from nearfar.data import audio
from nearfar.data.audio import content, header, read_clip
from nearfar.data.channels import doubts, lead
from nearfar.errors import NearfarError


def written(path, wave, subtype="FLOAT"):
    soundfile.write(path, wave, 16000, subtype=subtype)
    return path


def test_content_of_a_clip(tmp_path):
    wave = noise(("x",))
    said = content(written(tmp_path / "a.wav", wave))
    near, far = wave.T - wave.mean(axis=0)[:, None]
    assert said.frames == 8000 and said.peak == pytest.approx(np.abs(wave).max(), rel=1e-6)
    assert said.level == pytest.approx(10 * np.log10(near @ near / (far @ far)), abs=1e-4)


@pytest.mark.parametrize(
    ("far", "message"),
    [
        (lambda near: near, "its channels are equal; give the near and the far microphone's own recording"),
        (lambda near: near / 2, "its channels are equal but for a gain of 0.5;"),
        (lambda near: -near, "its channels are equal but for a gain of -1;"),
        (lambda near: 0.3 * near + 0.1, "its channels are equal but for a gain of 0.3;"),
    ],
    ids=["equal", "quieter", "polarity", "offset"],
)
@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_one_microphone_recorded_twice_is_refused(tmp_path, far, message, subtype):
    near = noise(("x",))[:, 0]
    path = written(tmp_path / "a.wav", np.stack([near, far(near)], axis=1), subtype)
    with pytest.raises(NearfarError, match="a.wav: " + message):
        content(path)


def test_channels_that_differ_by_a_thousandth_are_kept(tmp_path):
    near = noise(("x",))[:, 0]
    far = near + 1e-2 * noise(("y",))[:, 0]
    assert content(written(tmp_path / "a.wav", np.stack([near, far], axis=1))).level == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_more_than_two_channels_are_refused(tmp_path, count):
    path = written(tmp_path / "a.wav", np.random.default_rng(0).standard_normal((8000, count)) / 10)
    for needed in (1, 2):
        with pytest.raises(NearfarError, match=f"a.wav: has {count} channels, not 2; give a wav with near as 0"):
            read_clip(path, needed)


@pytest.mark.parametrize("frames", [1, 2, 399])
def test_a_clip_of_a_few_samples_is_too_short_not_silent(tmp_path, frames):
    path = written(tmp_path / "a.wav", noise(("x",))[:frames])
    with pytest.raises(NearfarError, match=rf"a.wav: too short \({frames} of at least 400 samples\); remove it"):
        read_clip(path)


def test_what_is_no_file_is_said_to_be_none(tmp_path):
    (tmp_path / "link.wav").symlink_to("nowhere")
    for name in ("absent.wav", "link.wav", "absent/a.wav"):
        with pytest.raises(NearfarError, match=f"{name}: no such file; copy it again or correct the name"):
            header(tmp_path / name)
    with pytest.raises(NearfarError, match="is a folder, not a recording"):
        header(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(NearfarError, match="pipe.wav: is no file, not a recording"):
        header(tmp_path / "pipe.wav")
    with pytest.raises(NearfarError, match=r"cannot be read \(File name too long"):
        header(tmp_path / ("x" * 300))


def test_a_clip_that_may_not_be_read_is_said_to_lack_permission(tmp_path, monkeypatch):
    def refused(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    path = written(tmp_path / "a.wav", noise(("x",)))
    monkeypatch.setattr(audio, "open", refused, raising=False)
    with pytest.raises(NearfarError, match=r"a.wav: no permission to read it; give it with chmod u\+r"):
        read_clip(path)


def test_control_characters_of_a_name_are_escaped(tmp_path):
    for name, shown in ((b"a\x1b[31m.wav", r"a\\x1b\[31m"), (b"a\n.wav", r"a\\n"), (b"a\xff.wav", r"a\\udcff")):
        with pytest.raises(NearfarError, match=rf"{shown}.wav: no such file"):
            header(tmp_path / os.fsdecode(name))


def test_an_oddly_encoded_name_can_be_read(tmp_path):
    path = tmp_path / "a.wav"
    wave = read_clip(written(path, noise(("x",))))
    path.rename(tmp_path / os.fsdecode(b"a\xff.wav"))
    assert np.array_equal(read_clip(tmp_path / os.fsdecode(b"a\xff.wav")), wave)


@pytest.mark.parametrize("delay", [-200, -1, 0, 3, 117])
def test_lead_is_the_delay_of_the_far_channel(delay):
    rng = np.random.default_rng(delay + 500)
    near = rng.standard_normal(9000)
    wave = np.stack([near, np.roll(near, delay) + 0.5 * rng.standard_normal(9000)], axis=1)
    assert lead(wave) == delay and lead(wave[:, ::-1]) == -delay


def machine(folder, swapped=(), scale=None, delay=40, gain=0.5):
    """The contents of 12 clips whose far channel is later and quieter, but for those of ``swapped``."""
    found = {}
    for number in range(12):
        near = noise((str(number),))[:, 0]
        far = gain * np.roll(near, delay) + 0.02 * noise((str(number), "hum"))[:, 0]
        wave = np.stack([near, far], axis=1)[:, :: -1 if number in swapped else 1]
        path = written(folder / f"{number:02d}.wav", wave * (scale or {}).get(number, 1))
        found[path] = content(path)
    return found


@pytest.mark.parametrize("swapped", [(0,), (3, 5, 11)])
def test_swapped_channels_are_a_doubt(tmp_path, swapped):
    said = doubts(machine(tmp_path, swapped))
    assert [(path.name, text.split(";")[0]) for path, text in said] == [
        (f"{number:02d}.wav", "its near and far channel look swapped") for number in swapped
    ]


def test_clips_that_are_only_louder_at_the_far_microphone_are_no_doubt(tmp_path):
    clips = machine(tmp_path)
    assert doubts(clips) == []
    near = noise(("0",))[:, 0]  # the far microphone heard something near it: as late as ever
    path = written(tmp_path / "00.wav", np.stack([near, 3 * np.roll(near, 40)], axis=1) + 0.01 * noise(("hum",)))
    assert doubts(clips | {path: content(path)}) == []


def test_microphones_of_one_loudness_tell_no_swap(tmp_path):
    assert doubts(machine(tmp_path, (2,), gain=1.0)) == []
    assert doubts({}) == []


@pytest.mark.parametrize(("scale", "expected"), [({1: 30000, 2: 10}, [1, 2]), ({4: 4.0}, []), ({}, [])])
def test_samples_far_beyond_full_scale_are_a_doubt(tmp_path, scale, expected):
    said = doubts(machine(tmp_path, scale=scale))
    assert [path.name for path, _ in said] == [f"{number:02d}.wav" for number in expected]
    assert all("far beyond [-1, 1]" in text for _, text in said)
