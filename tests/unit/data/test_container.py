"""A wav is read as long as it is, or refused in one line that names it: never shorter, never longer."""

import re
import struct

import numpy as np
import pytest
import soundfile
from conftest import noise

from nearfar.data.audio import header, read_clip
from nearfar.data.container import walk
from nearfar.errors import NearfarError

FRAMES = 8000
KINDS = [  # container, subtype, endian
    ("WAV", "PCM_16", "LITTLE"),
    ("WAV", "PCM_U8", "LITTLE"),
    ("WAV", "ULAW", "LITTLE"),
    ("WAV", "PCM_24", "BIG"),
    ("WAVEX", "DOUBLE", "LITTLE"),
    ("RF64", "FLOAT", "LITTLE"),
    ("W64", "PCM_16", "LITTLE"),
    ("AIFF", "PCM_24", "BIG"),
    ("AIFF", "FLOAT", "FILE"),
    ("AIFF", "PCM_16", "LITTLE"),
    ("AIFF", "ALAW", "FILE"),
]
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"recorder 1.2.3"
ODD = b"note" + struct.pack("<I", 5) + b"hall7\0"


@pytest.fixture(params=KINDS, ids="-".join)
def whole(request, tmp_path):
    """A whole file of every kind."""
    container, subtype, endian = request.param
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(("x",)), 16000, format=container, subtype=subtype, endian=endian)
    return path


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(("x",)), 16000, subtype="PCM_16")
    return path


def patched(path, *changes):
    """Change bytes of a file: (place, number of four bytes) each."""
    content = bytearray(path.read_bytes())
    for place, number in changes:
        content[place : place + 4] = struct.pack("<I", number)
    path.write_bytes(content)


def refusal(path):
    """The one line with which both the header and the samples are refused; it names the file once."""
    with pytest.raises(NearfarError) as error:
        read_clip(path)
    with pytest.raises(NearfarError, match="^" + re.escape(str(error.value)) + "$"):
        header(path)
    assert str(error.value).count(str(path)) == 1 and "\n" not in str(error.value) and ";" in str(error.value)
    return str(error.value)


def test_every_container_is_read_whole(whole):
    wave, _ = soundfile.read(whole, dtype="float32")
    assert header(whole).frames == FRAMES and not header(whole).streamed
    assert np.array_equal(read_clip(whole), wave)


def test_a_cut_anywhere_is_refused_in_every_container(whole):
    content = whole.read_bytes()
    for length in [*range(0, 120, 7), *np.linspace(120, len(content) - 2, 20).astype(int)]:
        whole.write_bytes(content[:length])
        assert re.search("cut short|not a readable wav|frames are there", refusal(whole))


@pytest.mark.parametrize("size", [0, 100, 0xFFFFFFFF, 0x7FFFF024])
def test_a_cut_is_refused_whatever_the_size_of_the_whole(plain, size):
    patched(plain, (4, size))
    assert header(plain).frames == FRAMES
    plain.write_bytes(plain.read_bytes()[:-400])
    assert f"cut short ({44 + 4 * FRAMES - 400} of {44 + 4 * FRAMES} bytes); copy it again" in refusal(plain)


@pytest.mark.parametrize("frames", [0, 1, 400, 5000, FRAMES - 1])
def test_a_header_that_announces_less_is_refused(plain, frames):
    patched(plain, (40, 4 * frames))
    assert f"announces {4 * frames} bytes of sound, and {4 * (FRAMES - frames)} more" in refusal(plain)


@pytest.mark.parametrize("tail", [b"\0" * 512, b"TAG" + bytes(125), b"x", bytes(range(200))], ids=len)
def test_bytes_after_the_sound_that_are_no_chunk_are_refused(plain, tail):
    plain.write_bytes(plain.read_bytes() + tail)
    assert f"{len(tail)} more that are no chunk follow; export it again" in refusal(plain)


def test_two_wavs_in_one_file_are_refused(plain):
    plain.write_bytes(plain.read_bytes() * 2)
    assert f"{44 + 4 * FRAMES} more that are no chunk follow" in refusal(plain)


def test_an_aiff_that_announces_fewer_frames_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(("x",)), 16000, format="AIFF", subtype="PCM_16")
    content = path.read_bytes()
    place = content.index(b"COMM") + 10
    path.write_bytes(content[:place] + struct.pack(">I", 5000) + content[place + 4 :])
    assert f"announces 5000 frames and {FRAMES} are there" in refusal(path)


@pytest.mark.parametrize("tail", [b"", LIST, ODD, ODD[:-1], LIST + ODD], ids=["none", "list", "odd", "unpadded", "two"])
@pytest.mark.parametrize(
    ("whole_size", "size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF024, 0x7FFFF000),  # sox
        (0x7FFFFF24, 0x7FFFFF00),  # arecord
        (0x80000024, 0x80000000),
        (0, 0xFFFFFFFF),
    ],
    ids=hex,
)
def test_a_streamed_wav_is_read_to_its_end_and_no_further(plain, whole_size, size, tail):
    wave = read_clip(plain)
    patched(plain, (4, whole_size), (40, size))
    plain.write_bytes(plain.read_bytes() + tail)
    assert header(plain) == (2, 16000, FRAMES, True)
    assert np.array_equal(read_clip(plain), wave)


@pytest.mark.parametrize("kind", ["W64", "AIFF", "RIFX"])
def test_a_streamed_file_of_another_container(tmp_path, kind):
    path = tmp_path / "clip.wav"
    endian, container = ("BIG", "WAV") if kind == "RIFX" else ("FILE", kind)
    soundfile.write(path, noise(("x",)), 16000, format=container, subtype="PCM_16", endian=endian)
    content, wave = bytearray(path.read_bytes()), read_clip(path)

    def put(after, text, skip=0):
        place = content.index(after) + len(after) + skip
        content[place : place + len(text)] = text

    if kind == "W64":
        content[16:24] = b"\xff" * 8
        put(b"data", b"\xff" * 7 + b"\x7f", 12)
    elif kind == "AIFF":  # as sox does
        content[4:8] = struct.pack(">I", 0x7F000000 + 46)
        put(b"COMM", struct.pack(">I", 0x7F000000 // 4), 6)
        put(b"SSND", struct.pack(">I", 0x7F000000 + 8))
    else:
        content[4:8] = b"\xff" * 4
        put(b"data", b"\xff" * 4)
    path.write_bytes(content)
    assert header(path) == (2, 16000, FRAMES, True)
    assert np.array_equal(read_clip(path), wave)


def test_an_rf64_whose_sizes_were_never_written_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(("x",)), 16000, format="RF64", subtype="PCM_16")
    content = path.read_bytes()
    place = content.index(b"ds64") + 8
    path.write_bytes(content[:place] + bytes(24) + content[place + 24 :])
    assert f"announces 0 bytes of sound, and {4 * FRAMES} more" in refusal(path)


def test_a_streamed_wav_that_ends_within_a_frame_is_refused(plain):
    patched(plain, (4, 0xFFFFFFFF), (40, 0xFFFFFFFF))
    plain.write_bytes(plain.read_bytes()[:-3])
    assert "its last frame has 1 of 4 bytes" in refusal(plain)


@pytest.mark.parametrize("chunk", [LIST, ODD, b"JUNK" + struct.pack("<I", 3) + b"abc\0"], ids=["even", "odd", "junk"])
def test_chunks_before_and_after_the_sound_are_passed_over(plain, chunk):
    content, wave = plain.read_bytes(), read_clip(plain)
    size = struct.pack("<I", len(content) - 8 + 2 * len(chunk))
    plain.write_bytes(b"RIFF" + size + content[8:36] + chunk + content[36:] + chunk)
    assert header(plain).frames == FRAMES and np.array_equal(read_clip(plain), wave)
    plain.write_bytes(plain.read_bytes()[:-3])
    assert "cut short" in refusal(plain)


def test_an_odd_number_of_bytes_is_read_with_and_without_its_pad(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(("x",))[:777, 0], 16000, subtype="PCM_U8")
    content = path.read_bytes()
    assert len(content) == 44 + 778 and len(read_clip(path, channels=1)) == 777
    path.write_bytes(content[:-1])
    assert len(read_clip(path, channels=1)) == 777


@pytest.mark.parametrize(("place", "number"), [(40, 0x01000000), (16, 0x00FFFFFF), (40, 0x7EFFFFFF)])
def test_sizes_beyond_the_file_are_refused(plain, place, number):
    patched(plain, (place, number))
    assert "cut short" in refusal(plain)


@pytest.mark.parametrize(
    ("container", "subtype", "message"),
    [
        ("FLAC", "PCM_16", "it holds FLAC"),
        ("OGG", "VORBIS", "it holds Ogg"),
        ("WAV", "IMA_ADPCM", "compressed (format 0x11); export it as PCM or float"),
        ("WAV", "MS_ADPCM", "compressed (format 0x2)"),
        ("AIFF", "IMA_ADPCM", "compressed (as ima4)"),
    ],
)
def test_compressed_sound_is_refused(tmp_path, container, subtype, message):
    path, wave = tmp_path / "clip.wav", noise(("x",))
    soundfile.write(
        path, wave[:, 0] if (container, subtype) == ("AIFF", "IMA_ADPCM") else wave, 16000, subtype, format=container
    )
    assert message in refusal(path)


def test_what_the_decoder_finds_is_compared(plain, monkeypatch):
    monkeypatch.setattr("nearfar.data.audio.walk", lambda file: walk(file)._replace(frames=7000))
    with pytest.raises(
        NearfarError, match="clip.wav: libsndfile reads 8000 frames of 2 channels where the header says"
    ):
        read_clip(plain)


def test_an_error_of_the_decoder_names_the_file(plain, monkeypatch):
    def broken(*_, **__):
        raise soundfile.LibsndfileError(2, prefix="Error opening: ")

    monkeypatch.setattr("nearfar.data.audio.soundfile.SoundFile", broken)
    with pytest.raises(NearfarError, match=r"clip.wav: not a readable wav file \(System error\)"):
        read_clip(plain)
