"""People's own recordings: what each format gives, by windows as by the whole, and what is refused or doubted."""

import os
import struct

import numpy as np
import pytest
import soundfile
from conftest import noise

from nearfar.data import recordings
from nearfar.data.audio import content, read_clip
from nearfar.data.recordings import Recording, probe, read_window, scan, windows
from nearfar.errors import NearfarError

FORMATS = [
    ("WAV", "PCM_U8", 1e-2),
    ("WAV", "PCM_16", 4e-5),
    ("WAV", "PCM_24", 2e-7),
    ("WAV", "PCM_32", 1e-7),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("WAV", "ULAW", 1e-2),
    ("WAVEX", "PCM_24", 2e-7),
    ("RF64", "PCM_16", 4e-5),
    ("W64", "PCM_24", 2e-7),
    ("AIFF", "PCM_16", 4e-5),
    ("FLAC", "PCM_16", 4e-5),
    ("FLAC", "PCM_24", 2e-7),
    ("OGG", "VORBIS", 5e-2),
    ("OGG", "OPUS", 5e-2),
    ("MP3", "MPEG_LAYER_III", 5e-2),
]
RATES = [8000, 11025, 22050, 44100, 48000, 96000, 192000]
WHOLE = 4.0  # seconds


def hum(rate, seconds=WHOLE, words=("hum",)):
    """Two channels of low noise and a tone, (frames, 2), which lossy codecs keep."""
    frames = int(rate * seconds)
    wave = np.array(noise(words, seconds * rate / 16000 + 1)[:frames])
    slow = np.stack([np.convolve(channel, np.hanning(25) / 12, "same") for channel in wave.T], axis=1)
    slow[:, 0] += 0.1 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    return slow


def written(path, wave, rate=16000, subtype="FLOAT", **options):
    """Write by blocks: libsndfile crashes on seconds of Vorbis at once. Skip what this libsndfile lacks."""
    channels = wave.shape[1] if wave.ndim > 1 else 1
    container = options.setdefault("format", path.suffix[1:].upper())
    if container not in soundfile.available_formats() or not soundfile.check_format(container, subtype):
        pytest.skip(f"this libsndfile has no {container} {subtype}")
    with soundfile.SoundFile(path, "w", rate, channels, subtype, **options) as file:
        for first in range(0, len(wave), 4096):
            file.write(wave[first : first + 4096])
    return path


def mp3(path, wave, rate=44100, **options):
    return written(path, wave, rate, "MPEG_LAYER_III", **options)


@pytest.mark.parametrize(("container", "subtype", "error"), FORMATS)
def test_every_format_gives_its_samples_by_windows_as_by_the_whole(tmp_path, container, subtype, error):
    wave = hum(48000)
    path = written(tmp_path / "a", wave, 48000, subtype, format=container)
    info = probe(path)
    assert (info.frames, info.rate, info.channels, info.format) == (len(wave), 48000, 2, container)
    assert info.seconds == WHOLE and info.subtype == subtype
    whole = read_window(Recording(path, 0, 1))
    assert whole.dtype == np.float32 and whole.shape == (64000, 2)
    exact = read_window(Recording(written(tmp_path / "b.wav", wave, 48000), 0, 1))
    assert np.abs(whole - exact).max() < error
    for start in (0.0, 1.0003125, 2.9):
        begin = round(start * 16000)
        assert np.abs(read_window(Recording(path, 0, 1), start, 1.1) - whole[begin : begin + 17600]).max() < 1e-6


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"])  # the last two cannot be sought in
def test_codecs_of_dictaphones_are_read_by_windows(tmp_path, subtype):
    path = written(tmp_path / "a.wav", hum(8000, 30)[:, :1], 8000, subtype)
    whole = read_window(Recording(path))
    assert 30 * 16000 <= len(whole) < 30.2 * 16000  # they fill their last block
    assert np.array_equal(read_window(Recording(path), 21.0, 5.0), whole[21 * 16000 : 26 * 16000])


@pytest.mark.parametrize("rate", RATES)
def test_windows_of_any_rate_are_parts_of_the_whole_recording(tmp_path, rate):
    path = written(tmp_path / "a.wav", hum(rate, 12), rate)
    whole = read_window(Recording(path, 0, 1))
    assert len(whole) == 12 * 16000
    for start, seconds in ((0, 1), (0.1, 2.5), (3 + 1 / 16000, 4), (7.77, 1.0001), (11, 1)):
        window = read_window(Recording(path, 0, 1), start, seconds)
        assert len(window) == round(seconds * 16000)
        assert np.array_equal(window, whole[round(start * 16000) :][: len(window)])


@pytest.mark.parametrize("rate", [8001, 44056])
def test_windows_of_odd_rates_differ_by_less_than_a_step_of_16_bits(tmp_path, rate):
    path = written(tmp_path / "a.wav", hum(rate, 12), rate)
    whole = read_window(Recording(path, 0, 1))
    for start in (0.1, 3 + 1 / 16000, 7.77):
        window = read_window(Recording(path, 0, 1), start, 4)
        assert np.abs(window - whole[round(start * 16000) :][:64000]).max() < 2**-16


@pytest.mark.parametrize("rate", RATES)
def test_tones_keep_their_phase_and_level_and_nothing_is_heard_of_what_is_too_high(tmp_path, rate):
    seconds, most = 2.0, min(rate, 16000) / 2
    times, times_16k = np.arange(int(rate * seconds)) / rate, np.arange(32000) / 16000
    low, high = 0.7 * most, 0.5 * (8000 + rate / 2)
    wave = np.sin(2 * np.pi * low * times) / 4 + (np.sin(2 * np.pi * high * times) / 4 if rate > 16000 else 0)
    heard = read_window(Recording(written(tmp_path / "a.wav", wave, rate)))[:, 0]
    inside = slice(1600, -1600)  # its ends are steps
    left = heard[inside] - np.sin(2 * np.pi * low * times_16k)[inside] / 4
    assert 20 * np.log10(left.std() / heard[inside].std()) < -90


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_file_of_16_khz_gives_its_own_samples(tmp_path, subtype):
    path = written(tmp_path / "a.wav", noise(("x",), 2), 16000, subtype)
    samples, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(read_window(Recording(path, 0, 1)), samples)
    assert np.array_equal(read_window(Recording(path, 1), 0.5, 0.25), samples[8000:12000, 1:])
    assert np.array_equal(read_window(Recording(path, 0, 1)), read_clip(path))


def test_a_machine_of_many_channels_is_heard_by_the_two_that_are_named(tmp_path):
    wave = np.random.default_rng(0).standard_normal((16000, 8)) / 10
    path = written(tmp_path / "a.wav", wave)
    assert np.array_equal(read_window(Recording(path, 5, 2)), wave[:, [5, 2]].astype(np.float32))
    assert np.array_equal(read_window(Recording(path, 7)), wave[:, 7:].astype(np.float32))


def test_reading_twice_gives_the_same_bytes(tmp_path):
    for path in (mp3(tmp_path / "a.mp3", hum(44100)), written(tmp_path / "a.flac", hum(44100), 44100, "PCM_16")):
        once, twice = (read_window(Recording(path, 0, 1), 1.0, 2.0).tobytes() for _ in range(2))
        assert once == twice


@pytest.mark.parametrize(
    ("seconds", "window", "hop", "starts"),
    [
        (10, 10, 10, [0]),
        (30, 10, 10, [0, 10, 20]),
        (34, 10, 10, [0, 10, 20]),  # 4 s are less than half a hop
        (35, 10, 10, [0, 10, 20, 25]),
        (39.9, 10, 10, [0, 10, 20, 29.9]),
        (25, 10, 5, [0, 5, 10, 15]),
        (27.5, 10, 5, [0, 5, 10, 15, 17.5]),
        (100, 10, 40, [0, 40, 80]),
        (1.00001, 1, 1, [0]),
        (440999 / 44100, 10, 10, [0]),  # a frame short of 10 s, which is less than one at 16 kHz
    ],
)
def test_windows_are_full_and_the_last_ends_with_the_recording(seconds, window, hop, starts):
    assert windows(seconds, window, hop) == starts


@pytest.mark.parametrize("rate", [44100, 48000, 11025])
def test_every_window_can_be_read(tmp_path, rate):
    path = written(tmp_path / "a.wav", noise(("x",), 8)[:100003, 0], rate)
    seconds = probe(path).seconds
    for window, hop in ((0.7, 0.3), (1.00003, 0.50001), (seconds, 1)):
        for start in windows(seconds, window, hop):
            assert len(read_window(Recording(path), start, window)) == round(window * 16000)


def test_windows_that_cannot_be_cut_are_refused():
    with pytest.raises(NearfarError, match=r"window longer than the recording \(10 of 9.5 s\)"):
        windows(9.5, 10, 10)
    for window, hop in ((0.01, 1), (0, 1), (1, 0), (1, -1)):
        with pytest.raises(NearfarError, match="is too short; give more"):
            windows(9.5, window, hop)


def test_what_is_heard_of_a_clip_is_what_the_challenge_reader_says_of_it(tmp_path):
    path = written(tmp_path / "a.wav", noise(("x",)) + [0.02, -0.01], 16000, "PCM_16")
    expected, heard = content(path), scan(Recording(path, 0, 1))
    assert (heard.frames, heard.peak, heard.clipped, heard.warnings) == (8000, expected.peak, 0.0, ())
    assert heard.level == pytest.approx(expected.level, abs=1e-9)
    assert scan(Recording(path, 1, 0)).level == pytest.approx(-expected.level, abs=1e-9)
    assert scan(Recording(path, 1)).level == 0


def test_a_scan_hears_its_window_alone(tmp_path):
    wave = np.array(noise(("x",), 9))
    wave[80000:88000, 0], wave[120000:, 1] = 1, 0
    path = written(tmp_path / "a.wav", wave)
    assert scan(Recording(path, 0, 1), 0, 5).warnings == ()
    heard = scan(Recording(path, 0, 1), 4.5, 1)
    assert (heard.frames, heard.clipped) == (16000, 0.5) and "is clipped" in heard.warnings[0]
    with pytest.raises(NearfarError, match="a.wav: channel 1 is silent"):
        scan(Recording(path, 0, 1), 8, 1)
    assert scan(Recording(path, 0), 8, 1).frames == 16000


@pytest.mark.parametrize(("rate", "band"), [(8000, "4"), (11025, "5.51"), (12000, "6")])
def test_a_rate_below_16_khz_names_the_empty_band(tmp_path, rate, band):
    said = scan(Recording(written(tmp_path / "a.wav", hum(rate), rate), 0, 1)).warnings
    assert [text.split(";")[0] for text in said] == [f"sampled at {rate} Hz: nothing above {band} kHz"]


@pytest.mark.parametrize(
    ("change", "subtype", "warning"),
    [
        (lambda wave: np.clip(20 * wave, -1, 1), "PCM_16", "is clipped in more than 1 % of its samples"),
        (lambda wave: np.clip(20 * wave, -1, 1), "FLOAT", "is clipped in more than 1 % of its samples"),
        (lambda wave: np.clip(9 * wave, -1, 1), "PCM_U8", "is clipped in more than 1 % of its samples"),
        (lambda wave: wave + [0, 0.4], "PCM_16", "has a DC offset larger than its signal"),
        (lambda wave: wave - 0.5, "FLOAT", "has a DC offset larger than its signal"),
        (lambda wave: wave, "PCM_U8", "has 8 bits a sample, whose steps hide what is quiet"),
    ],
)
def test_what_may_be_wrong_is_a_warning(tmp_path, change, subtype, warning):
    said = scan(Recording(written(tmp_path / "a.wav", change(noise(("x",))), 16000, subtype), 0, 1)).warnings
    assert warning in [text.split(";")[0] for text in said]


@pytest.mark.parametrize(
    "wave",
    [noise(("x",)), 20 * noise(("x",)) / 8.001, noise(("x",)) + 0.05, 300 * noise(("x",))],
    ids=["usual", "loud", "offset", "unit"],
)
def test_what_is_right_is_no_warning(tmp_path, wave):
    assert scan(Recording(written(tmp_path / "a.wav", wave), 0, 1)).warnings == ()


def spoilt(wave, place, value):
    return np.where(np.arange(len(wave))[:, None] == place, value, wave)


BAD = {
    "silent": (lambda wave: wave * [1, 0], "channel 1 is silent; check the microphone"),
    "constant": (lambda wave: wave * [0, 1] + 0.5, "channel 0 is silent; check the microphone"),
    "nan": (lambda wave: spoilt(wave, 4000, np.nan), "holds NaN or infinite samples; export it again"),
    "inf": (lambda wave: spoilt(wave, 7999, -np.inf), "holds NaN or infinite samples; export it again"),
    "equal": (lambda wave: wave[:, [0, 0]], "its channels are equal; give the near and the far microphone's own"),
    "gain": (lambda wave: wave[:, [0, 0]] * [1, -0.25], "its channels are equal but for a gain of -0.25; give"),
    "short": (lambda wave: wave[:300], r"too short \(\d+ of at least 400 samples at 16000 Hz\); remove it"),
    "empty": (lambda wave: wave[:0], "holds no samples; record or copy it again"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("rate", [16000, 22050])
def test_samples_that_are_no_recording_are_refused(tmp_path, name, rate):
    change, message = BAD[name]
    wave = change(noise(("x",)))[: 300 if name == "short" else None]
    path = written(tmp_path / "a.wav", wave, rate)
    with pytest.raises(NearfarError, match=f"a.wav: {message}"):
        scan(Recording(path, 0, 1))


def test_a_channel_with_ultrasound_alone_is_silent(tmp_path):
    wave = hum(48000)
    wave[:, 1] = np.hanning(len(wave)) * np.sin(2 * np.pi * 20000 * np.arange(len(wave)) / 48000)
    with pytest.raises(NearfarError, match="a.wav: channel 1 is silent; check the microphone or remove the clip"):
        scan(Recording(written(tmp_path / "a.wav", wave, 48000), 0, 1))


def test_a_rate_of_a_telephone_is_refused(tmp_path):
    for rate in (4000, 7999):
        path = written(tmp_path / "a.wav", noise(("x",)), rate)
        with pytest.raises(NearfarError, match=f"a.wav: sampled at {rate} Hz, less than 8000 Hz; record it at 16000"):
            probe(path)


@pytest.mark.parametrize(
    ("near", "far", "message"),
    [
        (0, 2, r"has 2 channels, and far is channel 2, counted from 0; set data\.far"),
        (3, 1, r"has 2 channels, and near is channel 3, counted from 0; set data\.near"),
        (-1, None, "has 2 channels, and near is channel -1"),
        (1, 1, r"near and far are both channel 1; set data\.far to another, or to null"),
    ],
)
def test_channels_that_are_not_there_are_refused(tmp_path, near, far, message):
    path = written(tmp_path / "a.wav", noise(("x",)))
    for call in (scan, read_window):
        with pytest.raises(NearfarError, match=f"a.wav: {message}"):
            call(Recording(path, near, far))
    mono = written(tmp_path / "mono.wav", noise(("x",))[:, 0])
    with pytest.raises(NearfarError, match="mono.wav: has 1 channel, and far is channel 1"):
        scan(Recording(mono, 0, 1))


@pytest.mark.parametrize(("start", "seconds"), [(0, 5), (1.5, 1), (-1, 1), (2, None), (9, None), (0.5, 1.6)])
def test_a_window_beyond_the_recording_is_refused(tmp_path, start, seconds):
    path = written(tmp_path / "a.wav", noise(("x",), 2))
    with pytest.raises(NearfarError, match="a.wav: lasts 2 s and has not .* on; shorten data.window or remove it"):
        read_window(Recording(path), start, seconds)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.wav", b"", r"is empty \(0 bytes\); record or copy it again"),
        ("a.flac", b"", r"is empty \(0 bytes\); record or copy it again"),
        ("a.mp3", b"no sound at all" * 99, r"cannot be decoded \(.*\); copy it again or convert it to wav"),
        ("a.wav", b"RIFF" + bytes(40), r"cannot be decoded \(.*\); copy it again or convert it to wav"),
        ("notes.txt", b"17 May: oiled", r"cannot be decoded \(.*\); copy it again or convert it to wav"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    for call in (lambda path: scan(Recording(path)), probe):
        with pytest.raises(NearfarError, match=f"{name}: {message}"):
            call(tmp_path / name)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(NearfarError, match="absent.flac: no such file"):
        probe(tmp_path / "absent.flac")
    with pytest.raises(NearfarError, match="is a folder"):
        probe(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(NearfarError, match="pipe.wav: is no file"):
        probe(tmp_path / "pipe.wav")


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("W64", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_a_cut_file_is_not_read_short(tmp_path, container, subtype):
    path = written(tmp_path / "a", hum(48000), 48000, subtype, format=container)
    data = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        for call in (scan, read_window):
            with pytest.raises(NearfarError, match=r"a: (cut short|holds .* it announces|cannot be decoded)"):
                call(Recording(path, 0, 1))


def test_an_mp3_that_says_no_length_is_refused(tmp_path):
    path = mp3(tmp_path / "a.mp3", hum(44100), bitrate_mode="VARIABLE", compression_level=0.5)
    tagged = path.read_bytes()
    path.write_bytes(b"ID3\x03\x00\x00" + bytes([0, 0, 0x40, 0]) + bytes(0x40 << 7) + tagged)  # a picture before it
    assert probe(path).frames == int(44100 * WHOLE)
    for tag in recordings.LENGTH_TAGS:
        tagged = tagged.replace(tag, b"none")
    path.write_bytes(tagged)
    with pytest.raises(NearfarError, match="a.mp3: does not say how long it is; convert it to FLAC or wav"):
        scan(Recording(path, 0, 1))


def test_a_flac_that_was_streamed_is_refused(tmp_path):
    path = written(tmp_path / "a.flac", hum(44100), 44100, "PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 where they are not known
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(NearfarError, match="a.flac: does not say how long it is"):
        probe(path)


def test_a_streamed_wav_ends_where_its_sound_does(tmp_path):
    wave = noise(("x",), 2)
    path = written(tmp_path / "a.wav", wave, 16000, "PCM_16")
    data = path.read_bytes()
    head = data[:4] + struct.pack("<I", 0xFFFFFFFF) + data[8:40] + struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(head + data[44:] + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert probe(path).frames == len(wave)
    assert np.abs(read_window(Recording(path, 0, 1)) - wave).max() < 1e-4


def test_an_oddly_encoded_name_can_be_read(tmp_path):
    path = written(tmp_path / "a.flac", hum(44100), 44100, "PCM_16")
    expected = scan(Recording(path, 0, 1))
    odd = path.rename(tmp_path / os.fsdecode(b"a\xff.flac"))
    assert scan(Recording(odd, 0, 1)) == expected


@pytest.mark.slow
def test_memory_is_that_of_the_window_whatever_the_recording_lasts(tmp_path, peak_of):
    path = tmp_path / "long.flac"
    block = hum(48000, 10)
    with soundfile.SoundFile(path, "w", 48000, 2, "PCM_16") as file:
        for _ in range(60):
            file.write(block)
    recording = Recording(path, 0, 1)
    scan(recording, 0, 1)  # imports
    for use in (lambda: scan(recording), lambda: read_window(recording, 580.0, 10.0)):
        assert peak_of(use) < 12 << 20  # 10 minutes at 16 kHz are 77 MB, 10 s of them 1.3 MB


@pytest.fixture
def peak_of():
    """Return a function that gives the bytes a call allocates at most."""
    import tracemalloc

    def peak(call):
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return peak
