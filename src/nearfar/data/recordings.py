"""Reading people's own recordings: any file of libsndfile's, any rate of 8 kHz and more, any length.

The challenge's clips go through nearfar.data.audio, which refuses all of that.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from nearfar.data.audio import ALIKE, RATE, SHORTEST, SILENCE, opened, reason_of
from nearfar.data.channels import BEYOND
from nearfar.data.container import walk
from nearfar.errors import NearfarError, error_prefix

LOWEST = 8000  # Hz
QUALITY = "VHQ"  # computes in float64, so that a window has the whole recording's bits; a third dearer than HQ
MARGIN = RATE // 4  # frames read on both sides: the filter needs 20 ms, and Opus converges within 250 ms of a seek
BLOCK = 1 << 17  # frames of the file read at a time
WALKED = {"WAV", "WAVEX", "RF64", "W64", "AIFF"}  # whose chunks say how much must be there, in these subtypes
PLAIN = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"}
EIGHT_BITS = {"PCM_S8", "PCM_U8"}
LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")  # one of them is in the first frame of an MP3 that says its length
STREAMED = 0x7F000000  # bytes and more: what is written for a size to come
PAGE = 1 << 16  # bytes, more than an Ogg page has
UNKNOWN = 1 << 60  # frames: libsndfile's word for a length that the file does not say
CLIPPED = 0.01  # share of a channel's samples at full scale
OFFSET = 1.0  # times the standard deviation of a channel


class Recording(NamedTuple):
    """A file and which of its channels, from 0, are the near and the far microphone; ``far`` None without one."""

    path: str | Path
    near: int = 0
    far: int | None = None

    @property
    def channels(self) -> list[int]:
        """Return the file's channels that are read, near first."""
        return [self.near] if self.far is None else [self.near, self.far]


class Info(NamedTuple):
    """What a file says of itself: frames and rate (Hz) are its own, format and subtype in libsndfile's words."""

    frames: int
    rate: int
    channels: int
    seconds: float
    format: str
    subtype: str

    @property
    def resampled(self) -> int:
        """Return how many frames at 16 kHz lie within the recording."""
        return -(-self.frames * RATE // self.rate)


class Heard(NamedTuple):
    """What the samples of a recording say, or of a window of it.

    ``frames`` at 16 kHz, the largest absolute sample, near over far in dB (0 for one microphone), the share of samples
    at full scale in the channel that has most, and what is doubtful, in the words of nearfar.data.channels.doubts.
    """

    frames: int
    peak: float
    level: float
    clipped: float
    warnings: tuple[str, ...]


def probe(path: str | Path) -> Info:
    """Return the Info of a recording.

    Raises NearfarError for what is no file, may not be read, cannot be decoded, is empty or cut, does not say how long
    it is, or has a rate below 8 kHz.
    """
    with _decoder(path) as (_, info):
        return info


def windows(seconds: float, window: float, hop: float) -> list[float]:
    """Return when the windows of a recording of ``seconds`` begin, in seconds on the grid of 16 kHz.

    Windows begin every ``hop`` seconds and are all full. What is left at the end is heard by one more window, which
    ends with the recording, where it is at least half a hop; less than that is left out.
    Raises NearfarError where the recording is shorter than a window.
    """
    total, length, step = (round(value * RATE) for value in (seconds, window, hop))
    if length < SHORTEST or step < 1:
        raise NearfarError(f"a window of {window:g} s every {hop:g} s is too short; give more")
    if length > total:
        raise NearfarError(f"window longer than the recording ({window:g} of {seconds:g} s); shorten it or remove it")
    starts = [*range(0, total - length + 1, step)]
    if 2 * (total - length - starts[-1]) >= step:
        starts.append(total - length)
    return [start / RATE for start in starts]


def read_window(recording: Recording, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
    """Return ``seconds`` of a recording from ``start`` on, float32 (frames, 1 or 2) at 16 kHz, near first.

    There are round(seconds · 16000) frames, or all up to the end where ``seconds`` is None. A file of 16 kHz gives
    its own samples; others are resampled by soxr: flat up to 7.3 kHz, below -150 dB from 8 kHz on. A window equals
    that part of the whole recording resampled, and memory is that of the window. Raises NearfarError as probe does,
    for channels that the file lacks, a window beyond its end, fewer samples than it announces, and NaN or infinite
    ones.
    """
    with _decoder(recording.path) as (file, info):
        begin, frames = _span(recording, info, start, seconds)
        wave, filled = np.empty((frames, len(recording.channels)), np.float32), 0
        for _, piece in _pieces(file, info, recording.channels, begin, frames):
            wave[filled : filled + len(piece)] = piece
            filled += len(piece)
    return wave


def resampled(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return a wave (frames, channels) of ``rate`` Hz at 16 kHz, float32, as read_window gives a whole recording."""
    wave = np.ascontiguousarray(wave, np.float32)
    return _resampler(rate, wave.shape[1])(wave, True)[: -(-len(wave) * RATE // rate)]


def scan(recording: Recording, start: float = 0.0, seconds: float | None = None) -> Heard:
    """Return what the samples of a recording say, ``seconds`` from ``start`` on, in memory that no length changes.

    Raises NearfarError as read_window does, for a silent channel, and where a gain alone tells near and far apart.
    """
    with _decoder(recording.path) as (file, info):
        begin, frames = _span(recording, info, start, seconds)
        heard = _Sums(len(recording.channels), bits=8 if info.subtype in EIGHT_BITS else 16)
        for raw, piece in _pieces(file, info, recording.channels, begin, frames):
            heard.add(raw, piece)
        _refuse_silent(heard, recording)
        if recording.far is not None:
            _refuse_alike(heard)
    return Heard(frames, heard.peak, heard.level, heard.share, tuple(_warnings(info, heard)))


@contextmanager
def _decoder(path: str | Path) -> Iterator[tuple[soundfile.SoundFile, Info]]:
    """Give a recording's decoder and Info; what goes wrong inside becomes a NearfarError that names it."""
    with error_prefix(path), opened(path) as raw:
        if not os.fstat(raw.fileno()).st_size:
            raise NearfarError("is empty (0 bytes); record or copy it again")
        try:
            with soundfile.SoundFile(os.fsencode(path)) as file:
                yield file, _info(file, raw)
        except (soundfile.LibsndfileError, OSError) as error:
            raise NearfarError(f"cannot be decoded ({reason_of(error)}); copy it again or convert it to wav") from error
        except MemoryError:
            raise NearfarError("does not fit in memory; cut it by data.window") from None


def _info(file: soundfile.SoundFile, raw: BinaryIO) -> Info:
    rate, frames = file.samplerate, file.frames
    if file.format in WALKED and file.subtype in PLAIN:
        frames = walk(raw).frames
    elif (file.format == "MP3" and not _says_length(raw)) or frames >= UNKNOWN:
        raise NearfarError("does not say how long it is; convert it to FLAC or wav")
    elif (file.format == "OGG" and not _ends(raw)) or (file.format in WALKED and not _whole(raw)):
        raise NearfarError("cut short; copy it again")
    if rate < LOWEST:
        raise NearfarError(f"sampled at {rate} Hz, less than {LOWEST} Hz; record it at {RATE} Hz or more")
    if not frames:
        raise NearfarError("holds no samples; record or copy it again")
    return Info(frames, rate, file.channels, frames / rate, file.format, file.subtype)


def _says_length(raw: BinaryIO) -> bool:
    """Return whether an MP3 says its length; where it does not libsndfile guesses, by a factor of five in tests."""
    head = raw.read(10)
    tags = int("".join(f"{byte:07b}" for byte in head[6:]), 2) + 10 if head.startswith(b"ID3") else 0
    raw.seek(tags)
    first = raw.read(4096)  # a frame is shorter
    return any(tag in first for tag in LENGTH_TAGS)


def _ends(raw: BinaryIO) -> bool:
    """Return whether the last page of an Ogg file is flagged as the end of its stream."""
    raw.seek(max(raw.seek(0, os.SEEK_END) - PAGE, 0))
    tail = raw.read()
    place = tail.rfind(b"OggS")
    return place >= 0 and len(tail) > place + 5 and bool(tail[place + 5] & 4)


def _whole(raw: BinaryIO) -> bool:
    """Return whether a wav of compressed sound is as long as it announces; of another container nothing is known."""
    length = raw.seek(0, os.SEEK_END)
    raw.seek(0)
    magic, size = struct.unpack("<4sI", raw.read(8))
    return magic != b"RIFF" or size >= STREAMED or size + 8 <= length + 1  # a last pad byte may be missing


def _span(recording: Recording, info: Info, start: float, seconds: float | None) -> tuple[int, int]:
    """Return where a window begins and its frames, at 16 kHz; refuse what the recording does not have."""
    for name, channel in zip(("near", "far"), recording.channels, strict=False):
        if not 0 <= channel < info.channels:
            have = "1 channel" if info.channels == 1 else f"{info.channels} channels"
            raise NearfarError(f"has {have}, and {name} is channel {channel}, counted from 0; set data.{name}")
    if recording.near == recording.far:
        raise NearfarError(f"near and far are both channel {recording.near}; set data.far to another, or to null")
    begin = round(start * RATE)
    frames = info.resampled - begin if seconds is None else round(seconds * RATE)
    if begin < 0 or begin + frames > info.resampled or frames < 1:
        asked = f"{frames / RATE:g} s from {start:g} s on" if seconds else f"nothing from {start:g} s on"
        raise NearfarError(f"lasts {info.seconds:g} s and has not {asked}; shorten data.window or remove it")
    if frames < SHORTEST:
        raise NearfarError(f"too short ({frames} of at least {SHORTEST} samples at {RATE} Hz); remove it")
    return begin, frames


def _pieces(
    file: soundfile.SoundFile, info: Info, channels: list[int], begin: int, frames: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the window's samples piece by piece: those of the file, and those at 16 kHz, a little later.

    The first frame read lies on both grids, so that every window is resampled in the whole recording's phase.
    """
    common = gcd(info.rate, RATE)
    steps = max(begin - MARGIN, 0) // (RATE // common)
    place, resampled = steps * (info.rate // common), steps * (RATE // common)
    first, last = begin * info.rate // RATE, -(-(begin + frames) * info.rate // RATE)
    stop = min(info.frames, last + MARGIN * info.rate // RATE)
    resample = _resampler(info.rate, len(channels))
    _seek(file, place)
    while place < stop:
        raw = file.read(min(BLOCK, stop - place), dtype="float32", always_2d=True)
        if not len(raw):
            raise NearfarError(f"holds {place / info.rate:g} of the {info.seconds:g} s it announces; copy it again")
        raw = np.ascontiguousarray(raw[:, channels])
        piece = resample(raw, place + len(raw) >= stop)
        if not np.isfinite(piece).all():
            raise NearfarError("holds NaN or infinite samples; export it again")
        yield _within(raw, place, first, last), _within(piece, resampled, begin, begin + frames)
        place, resampled = place + len(raw), resampled + len(piece)


def _seek(file: soundfile.SoundFile, place: int) -> None:
    """Go to a frame; what cannot be sought in (GSM, G.721) is decoded from its start."""
    if file.seekable():
        file.seek(place)
        return
    for done in range(0, place, BLOCK):
        file.read(min(BLOCK, place - done), dtype="float32")


def _resampler(rate, channels):
    """Return a function of a block and whether it is the last; the samples after the last are taken for zeros.

    Where the ratio is not simple soxr lets its pass band droop by up to 0.01 dB, an error of -63 dB at 7.2 kHz; by way
    of 48 kHz that happens above what is kept.
    """
    if rate == RATE:
        return lambda raw, last: raw
    import soxr

    rates = [rate, 3 * RATE, RATE] if rate > RATE and rate % LOWEST else [rate, RATE]
    stages = [soxr.ResampleStream(high, low, channels, "float32", QUALITY) for high, low in pairwise(rates)]
    silence = np.zeros((MARGIN * rate // RATE, channels), np.float32)

    def resample(raw, last):
        piece = np.concatenate([raw, silence]) if last else raw
        for stage in stages:
            piece = stage.resample_chunk(piece, last)
        return piece.astype(np.float32)

    return resample


def _within(block, place, first, last):
    """Return what of a block that begins at ``place`` lies in [first, last)."""
    return block[max(first - place, 0) : max(last - place, 0)]


class _Sums:
    """What the pieces of _pieces add up to: extremes of the file's samples; means, products and peak at 16 kHz.

    Silence and clipping are the file's own: what resampling makes of a constant has a step at either end.
    """

    def __init__(self, channels: int, bits: int) -> None:
        self.full = 1 - 1.5 / (1 << (bits - 1))  # the last step, whichever sign has one more
        self.samples, self.clipped = 0, np.zeros(channels)
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.frames, self.peak, self.apart = 0, 0.0, 0.0
        self.total, self.products = np.zeros(channels), np.zeros((channels, channels))

    def add(self, raw: np.ndarray, piece: np.ndarray) -> None:
        self.samples += len(raw)
        for channel, samples in enumerate(raw.T if len(raw) else ()):
            self.low[channel] = min(self.low[channel], samples.min())
            self.high[channel] = max(self.high[channel], samples.max())
            self.clipped[channel] += np.count_nonzero(np.abs(samples) >= self.full)
        if len(piece):
            wave = np.array(piece.T, np.float64, order="C")
            self.frames += len(piece)
            self.total += wave.sum(axis=1)
            self.products += [[np.einsum("n,n", a, b) for b in wave] for a in wave]  # without BLAS's threads
            self.peak = max(self.peak, float(wave.max()), float(-wave.min()))
            self.apart = max(self.apart, float(np.abs(wave[0] - wave[-1]).max()))

    @property
    def share(self) -> float:
        return float(self.clipped.max() / self.samples)

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.frames

    @property
    def covariance(self) -> np.ndarray:
        return self.products / self.frames - np.outer(self.mean, self.mean)

    @property
    def level(self) -> float:
        powers = np.diag(self.covariance)
        return float(10 * np.log10(powers[0] / powers[-1]))


def _refuse_silent(heard, recording):
    reach, powers = heard.high - heard.low, np.diag(heard.covariance)
    for channel, most, power in zip(recording.channels, reach, powers, strict=True):
        if most < SILENCE or power < (SILENCE / 10) ** 2:  # or all was above 8 kHz
            raise NearfarError(f"channel {channel} is silent; check the microphone or remove the clip")


def _refuse_alike(heard):
    (nn, nf), (_, ff) = heard.covariance
    if nn * ff - nf**2 < ALIKE * nn * ff:
        what = "equal" if not heard.apart else f"equal but for a gain of {nf / nn:.3g}"
        raise NearfarError(f"its channels are {what}; give the near and the far microphone's own, or data.far: null")


def _warnings(info, heard):
    """Yield what is doubtful, without figures of the one file: the same doubt of many files is told once."""
    if heard.share > CLIPPED and heard.peak <= BEYOND:  # beyond that its unit is another, which doubts says
        yield f"is clipped in more than {100 * CLIPPED:g} % of its samples; record it with less gain"
    if (np.abs(heard.mean) > OFFSET * np.sqrt(np.diag(heard.covariance))).any():
        yield "has a DC offset larger than its signal; check the microphone"
    if info.rate < RATE:
        yield f"sampled at {info.rate} Hz: nothing above {info.rate / 2000:.3g} kHz; record it at {RATE} Hz or more"
    if info.subtype in EIGHT_BITS:
        yield "has 8 bits a sample, whose steps hide what is quiet; record it with 16 or more"
