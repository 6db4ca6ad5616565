"""What can be wrong with the clips of a machine's folder: each function makes it so."""

import os
import shutil

import numpy as np
import soundfile
from conftest import noise

FIRST = "section_00_source_train_normal_0000_spd_1.wav"


def mono(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",))[:, 0], 16000, subtype="PCM_16")


def other_rate(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",)), 22050, subtype="PCM_16")


def truncated(folder):
    path = folder / "train" / FIRST
    path.write_bytes(path.read_bytes()[:5000])


def empty(folder):
    (folder / "train" / FIRST).write_bytes(b"")


def no_samples(folder):
    soundfile.write(folder / "train" / FIRST, np.zeros((0, 2)), 16000, subtype="PCM_16")


def not_wav(folder):
    (folder / "train" / FIRST).write_text("this is no sound\n" * 100)


def nan(folder):
    wave = noise(("x",))
    wave[100, 0] = np.nan
    soundfile.write(folder / "train" / FIRST, wave, 16000, subtype="FLOAT")


def silent(folder):
    wave = noise(("x",))
    wave[:, 1] = 0
    soundfile.write(folder / "train" / FIRST, wave, 16000, subtype="PCM_16")


def malformed(folder):
    (folder / "train" / FIRST).rename(folder / "train" / "pump 3 monday.wav")


def no_target(folder):
    for path in (folder / "train").glob("*target*"):
        path.unlink()


def few(folder):
    for path in list((folder / "train").glob("*target*"))[1:]:
        path.unlink()


def no_test(folder):
    shutil.rmtree(folder / "test")


def folder_among_clips(folder):
    (folder / "train" / FIRST).unlink()
    (folder / "train" / FIRST).mkdir()


def dangling_link(folder):
    (folder / "train" / FIRST).unlink()
    (folder / "train" / FIRST).symlink_to("nowhere.wav")


def announces_less(folder):
    path = folder / "train" / FIRST
    content = path.read_bytes()
    path.write_bytes(content[:40] + (4 * 5000).to_bytes(4, "little") + content[44:])


def cut_without_a_size(folder):
    path = folder / "train" / FIRST
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(4) + content[8:20000])


def compressed(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",)), 16000, format="FLAC")


def equal_channels(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",))[:, [0, 0]], 16000, subtype="PCM_16")


def eight_channels(folder):
    soundfile.write(folder / "train" / FIRST, np.tile(noise(("x",)), 4), 16000, subtype="PCM_16")


def one_sample(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",))[:1], 16000, subtype="PCM_16")


def far_longer(folder):
    soundfile.write(folder / "train" / FIRST, noise(("x",), 600), 16000, subtype="PCM_16")


def odd_name(folder):
    (folder / "train" / FIRST).rename(folder / "train" / os.fsdecode(FIRST.encode() + b"_\xff\x1b[2J.wav"))


def unreadable_clip(folder):
    (folder / "train" / FIRST).chmod(0)


def unreadable_split(folder):
    (folder / "test").chmod(0)


def unreadable_folder(folder):
    folder.chmod(0)


def stray_files(folder):
    """Nothing is wrong with a machine that has these."""
    for place in (folder, folder / "train", folder / "test"):
        for name in ("notes.txt", "Thumbs.db", ".DS_Store", "a.wav.part"):
            (place / name).write_text("no sound")
        (place / "__MACOSX").mkdir()
        (place / "x.part").mkdir()


def doubtful(folder):
    """Nothing is surely wrong with a machine whose clips are so."""
    for number, path in enumerate(sorted((folder / "train").glob("*source*"))[:4]):
        wave, _ = soundfile.read(path)
        if number < 2:
            soundfile.write(path, wave[:, ::-1], 16000, subtype="PCM_16")
        else:
            soundfile.write(path, 1000 * wave, 16000, subtype="FLOAT")
