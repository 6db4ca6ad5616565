"""Pictures and sounds inside a page: WebP and MP3 as data URIs. Both libraries give the same bytes each time."""

import base64
import io

import numpy as np

from nearfar.data.audio import RATE

# Colours in equal steps from the lowest to the highest value: after matplotlib's magma, and blue over white to red
LOUDNESS = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
DEPARTURE = ((5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31))
SHADES = 256  # of a scale of colours
QUALITY = 60  # of a picture, of 100
WIDEST = 400  # pixels: of a longer clip, neighbouring windows share one
LOUDEST = 0.9  # of full scale


def picture(values: np.ndarray, low: float, high: float, colours: tuple[tuple[int, int, int], ...]) -> str:
    """Return a map (bands, windows) as a data URI, the lowest band at the bottom, ``low`` to ``high`` in colours."""
    from PIL import Image

    share = np.clip((_narrowed(values)[::-1] - low) / (high - low), 0, 1)
    places = np.linspace(0, len(colours) - 1, SHADES)
    shades = [np.interp(places, range(len(colours)), channel) for channel in zip(*colours, strict=True)]
    pixels = np.stack(shades, axis=-1).round().astype(np.uint8)[(share * (SHADES - 1)).round().astype(np.uint8)]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=2)
    return _uri("image/webp", file.getvalue())


def _narrowed(values):
    run = -(-values.shape[1] // WIDEST)
    if run == 1:
        return values
    return np.add.reduceat(values, range(0, values.shape[1], run), axis=1) / np.diff(
        [*range(0, values.shape[1], run), values.shape[1]]
    )


def sound(wave: np.ndarray, gain: float) -> str:
    """Return a signal (samples,) at 16 kHz, ``gain`` times as loud, as a data URI of an MP3 of about 30 kbit/s."""
    import soundfile

    file = io.BytesIO()  # MP3: every browser plays it, and an Ogg would bear a serial number drawn anew each time
    with soundfile.SoundFile(file, "w", RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.5) as mp3:
        mp3.write(np.clip(wave * gain, -1, 1))
    return _uri("audio/mpeg", file.getvalue())


def _uri(kind, data):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class Budget:
    """What a machine's sounds may take of the page, in bytes; once one did not fit, none follows."""

    def __init__(self, megabytes: float) -> None:
        self.left, self.refused = megabytes * 1e6, 0

    def take(self, wave: np.ndarray, gain: float) -> str | None:
        """Return the sound of a signal (samples,), as ``sound`` does, where it fits, else None."""
        text = "" if self.refused else sound(wave, gain)
        if self.refused or len(text) > self.left:
            self.refused += 1
            return None
        self.left -= len(text)
        return text
