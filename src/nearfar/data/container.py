"""What a wav file says of itself, checked against the bytes that are there.

libsndfile clamps the sound to the file and takes a header's word for its length, so a clip that was cut, or whose
header was written before the sound, would be read short without a word. Here the chunks are walked: RIFF, RIFX, RF64
and BW64 (EBU Tech 3306), W64 (Sony), AIFF and AIFC.
"""

import os
import re
import struct
from typing import BinaryIO, NamedTuple

from nearfar.errors import NearfarError

GUID_TAILS = {  # what may follow the four letters of a W64 chunk's name
    bytes.fromhex(tail) for tail in ("f3acd3118cd100c04f8edb8a", "2e91cf11a5d628db04c10000", "2f91cf11a5d628db04c10000")
}
SOUND = {b"data", b"SSND"}
OPENINGS = {b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff"}  # another file, not a chunk of this one
PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format tags of wav
PLAIN = {b"NONE", b"twos", b"sowt", b"raw "}  # compressions of AIFC that are none: a sample is as wide as COMM says
WIDTHS = {b"alaw": 1, b"ulaw": 1, b"fl32": 4, b"fl64": 8, b"in24": 3, b"in32": 4}  # bytes a sample of the others
OTHERS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"caff": "CAF", b".snd": "AU"}
TAIL = 1 << 16  # bytes at the end of a streamed file among which chunks are looked for


class Sound(NamedTuple):
    """What the chunks say: ``frames`` are there; ``streamed`` where the header was written without knowing them."""

    channels: int
    rate: int
    frames: int
    streamed: bool


class Chunk(NamedTuple):
    """A piece of a file: four letters, where its content begins, and the bytes that its header announces."""

    name: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """Return where its content ends."""
        return self.start + self.size


class Layout(NamedTuple):
    """How the chunks of a kind of file are written."""

    form: tuple[bytes, ...] = (b"WAVE",)
    order: str = "<"
    name: int = 4  # bytes of a chunk's name
    size: str = "I"
    counted: int = 0  # bytes of its own header that a chunk's size counts
    align: int = 2

    def chunk(self, file: BinaryIO, place: int) -> Chunk | None:
        """Return the chunk whose header begins at ``place``, None where there can be none."""
        file.seek(place)
        name, size = file.read(self.name), file.read(struct.calcsize(self.size))
        letters = re.fullmatch(rb"[\w \-()]{4}", name[:4])
        if not letters or (self.name > 4 and name[4:] not in GUID_TAILS) or len(size) < struct.calcsize(self.size):
            return None
        (size,) = struct.unpack(self.order + self.size, size)
        return Chunk(name[:4], file.tell(), size - self.counted) if size >= self.counted else None

    def after(self, chunk: Chunk) -> int:
        """Return where the chunk after this one begins."""
        return chunk.end + -chunk.end % self.align


LAYOUTS = {
    b"RIFF": Layout(),
    b"RIFX": Layout(order=">"),
    b"RF64": Layout(),
    b"BW64": Layout(),
    b"FORM": Layout((b"AIFF", b"AIFC"), ">"),
    b"riff": Layout((b"wave",), "<", 16, "Q", 24, 8),
}


def walk(file: BinaryIO) -> Sound:
    """Return what the chunks of an open file say of its sound.

    A size that programs write to a pipe (data of 0x7FFFF000 or 0xFFFFFFFF bytes) stands for all up to the end of the
    file, less the chunks that end it. Raises NearfarError, without the file's name, where the header announces more
    than there is, or less, or compressed sound.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(4)
    layout = LAYOUTS.get(magic)
    whole = layout and layout.chunk(file, 0)
    form = file.read(layout.name)[:4] if whole else b""
    if not whole or form not in layout.form:
        holds = f"it holds {OTHERS[magic]}" if magic in OTHERS else "it has no wav header" if length else "it is empty"
        raise _unreadable(holds)
    chunks = _chunks(file, layout, whole.start + layout.name, length)
    announced = _wide(file, chunks, 0) if b"ds64" in chunks else whole.size
    if not _unknown(announced) and whole.start + announced > length + 1:  # a last pad byte may be missing
        raise _cut(length, whole.start + announced)
    return _sound(file, layout, chunks, length)


def _chunks(file: BinaryIO, layout: Layout, place: int, length: int) -> dict[bytes, Chunk]:
    """Return the chunks by name, the sound as "data"; of a streamed file those up to the sound."""
    chunks = {}
    while place < length:
        chunk, sound = layout.chunk(file, place), chunks.get(b"data")
        if chunk is None or chunk.name in OPENINGS or (sound and chunk.name in SOUND):
            raise _stale(sound.size, length - place) if sound else _unreadable(f"no chunk at byte {place}")
        if chunk.name in SOUND:
            chunk = _data(file, chunk, chunks)
        chunks.setdefault(chunk.name, chunk)
        if chunk.name == b"data" and _unknown(chunk.size):
            break
        if chunk.end > length:
            raise _cut(length, chunk.end)
        place = layout.after(chunk)
    return chunks


def _data(file: BinaryIO, chunk: Chunk, chunks: dict[bytes, Chunk]) -> Chunk:
    """Return the chunk of the sound alone: without the offset of AIFF, and with the size that RF64 keeps elsewhere."""
    if chunk.name == b"SSND":
        (offset,) = struct.unpack(">I4x", _content(file, chunk, 8))
        return Chunk(b"data", chunk.start + 8 + offset, max(chunk.size - 8 - offset, 0))
    if b"ds64" in chunks and chunk.size == 0xFFFFFFFF:
        return chunk._replace(size=_wide(file, chunks, 1))
    return chunk


def _sound(file: BinaryIO, layout: Layout, chunks: dict[bytes, Chunk], length: int) -> Sound:
    """Return the Sound of the chunks of a file of ``length`` bytes."""
    aiff = b"COMM" in chunks
    if not (aiff or b"fmt " in chunks):
        raise _unreadable("it does not say how its samples are written")
    channels, rate, width, announced = (_aiff_format if aiff else _wav_format)(file, layout, chunks)
    if not (channels and rate and width):
        raise _unreadable("its header says no samples, channels or rate")
    data = chunks.get(b"data", Chunk(b"data", length, 0))
    streamed, frame = _unknown(data.size), channels * width
    size = _trailing(file, layout, data.start, frame, length) - data.start if streamed else data.size
    frames, left = divmod(size, frame)
    if left > 1 - size % 2:  # a program may count the pad byte that makes an odd size even
        raise NearfarError(f"cut short: its last frame has {left} of {frame} bytes; copy it again")
    if announced not in (None, frames) and not streamed:
        raise NearfarError(f"its header announces {announced} frames and {frames} are there; record or copy it again")
    return Sound(channels, rate, frames, streamed)


def _wav_format(file: BinaryIO, layout: Layout, chunks: dict[bytes, Chunk]) -> tuple[int, int, int, None]:
    """Return channels, rate, bytes a sample, and None: a wav announces no frames."""
    chunk = chunks[b"fmt "]
    tag, channels, rate, _, frame = struct.unpack(layout.order + "HHIIH", _content(file, chunk, 14))
    if tag == EXTENSIBLE:
        (tag,) = struct.unpack(layout.order + "24xH", _content(file, chunk, 26))
    if tag not in (PCM, FLOAT, ALAW, ULAW):
        raise _compressed(f"format {tag:#x}")
    return channels, rate, frame // (channels or 1), None


def _aiff_format(file: BinaryIO, layout: Layout, chunks: dict[bytes, Chunk]) -> tuple[int, int, int, int]:
    """Return channels, rate, bytes a sample and announced frames."""
    chunk = chunks[b"COMM"]
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", _content(file, chunk, 18))
    kind = _content(file, chunk, 22)[18:] if chunk.size >= 22 else b"NONE"
    if kind not in PLAIN and kind.lower() not in WIDTHS:
        raise _compressed(f"as {kind.decode('ascii', 'replace').strip()}")
    rate = mantissa >> max(16446 - (exponent & 0x7FFF), 0)  # an 80-bit number, its point after the first bit
    return channels, rate, WIDTHS.get(kind.lower(), -(-bits // 8)), frames


def _trailing(file: BinaryIO, layout: Layout, start: int, frame: int, length: int) -> int:
    """Return where the chunks begin that end a streamed file, its length where there are none."""
    first = max(start, length - TAIL)
    file.seek(first)
    for match in re.finditer(rb"(?=[\w \-()]{4})", file.read()):
        place = first + match.start()
        sound = Chunk(b"data", start, (place - start) // frame * frame)
        if layout.after(sound) == place and _ends(file, layout, place, length):
            return sound.end
    return length


def _ends(file: BinaryIO, layout: Layout, place: int, length: int) -> bool:
    """Return whether chunks from ``place`` on end with the file."""
    while place < length:
        chunk = layout.chunk(file, place)
        if chunk is None or chunk.end > length:
            return False
        place = layout.after(chunk)
    return True


def _content(file: BinaryIO, chunk: Chunk, size: int) -> bytes:
    """Return the first ``size`` bytes of a chunk."""
    file.seek(chunk.start)
    content = file.read(min(size, chunk.size))
    if len(content) < size:
        raise _unreadable(f"its chunk {chunk.name.decode().strip()} is too short")
    return content


def _wide(file: BinaryIO, chunks: dict[bytes, Chunk], number: int) -> int:
    """Return a size of RF64's chunk ds64: of the file (0) or of its sound (1)."""
    return struct.unpack("<QQ", _content(file, chunks[b"ds64"], 16))[number]


def _unknown(size: int) -> bool:
    """Return whether a program writes such a size where it cannot know: near 2 GiB, 4 GiB or 2⁶³. No clip has one."""
    return 0x7F000000 <= size <= 0x80FFFFFF or 0xFF000000 <= size <= 0xFFFFFFFF or size >= 1 << 62


def _unreadable(why: str) -> NearfarError:
    return NearfarError(f"not a readable wav file ({why}); record or copy it again")


def _compressed(how: str) -> NearfarError:
    return NearfarError(f"compressed ({how}); export it as PCM or float")


def _cut(length: int, announced: int) -> NearfarError:
    return NearfarError(f"cut short ({length} of {announced} bytes); copy it again")


def _stale(announced: int, left: int) -> NearfarError:
    return NearfarError(
        f"announces {announced} bytes of sound, and {left} more that are no chunk follow; export it again"
    )
