"""What can be wrong with the clips of a machine's folder: each function makes it so."""

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
