import csv
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from scipy.signal import csd, stft, welch
from scipy.stats import rankdata

from nearfar.errors import NearfarError
from nearfar.factory import build, faults, mix, room, signals

COUNTS = {"seconds": 0.5, "train_source": 2, "train_target": 1, "test": 1, "noise_sources": 4, "seed": 0}
MACHINES = tuple(mix.MODELS)


def made(folder, machine="fan", **changes):
    build.build(machine, folder, **{**COUNTS, **changes})
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# ---- what lies on disk ----


@pytest.mark.parametrize("machine", MACHINES)
def test_layout_names_and_format_are_the_challenges(tmp_path, machine):
    assert build.build(machine, tmp_path, **COUNTS) == 2 + 1 + 4 * 1
    assert [p.name for p in tmp_path.iterdir()] == [machine]  # no temporary folder is left
    clips = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.wav"))
    suffix = "noAttribute" if machine == "slider" else r"spd_\d_load_\d"
    pattern = rf"{machine}/(train|test)/section_00_(source|target)_\1_(normal|anomaly)_\d{{4}}_{suffix}\.wav"
    for clip in clips:
        assert re.fullmatch(pattern, clip)
        info = soundfile.info(tmp_path / clip)
        assert (info.samplerate, info.subtype, info.channels, info.frames) == (16000, "PCM_16", 2, 8000)
    assert not [c for c in clips if "train_anomaly" in c]
    header, *table = rows(tmp_path / machine / "attributes_00.csv")
    assert sorted(r[0] for r in table) == clips
    if machine == "slider":
        assert header == ["file_name", "d1p", "d1v"] and all(r[1:] == ["", ""] for r in table)
    else:
        assert header == ["file_name", "d1p", "d1v", "d2p", "d2v"]
        assert all("_".join(r[1:]) == r[0].split("_", 6)[-1].removesuffix(".wav") for r in table)


def test_the_fault_is_told_in_truth_csv_and_in_no_file_name(tmp_path):
    build.build("gearbox", tmp_path, **{**COUNTS, "test": 5})
    header, *table = rows(tmp_path / "gearbox" / "truth.csv")
    assert header == ["file", "fault"] and len(table) == 20
    for file, fault in table:
        assert (fault != "") == ("_anomaly_" in file)
        assert not any(kind in file for kind in faults.KINDS)
    assert {fault for _, fault in table} == {"", *faults.KINDS}


def test_domains_differ_in_their_conditions_and_faults_meet_all_of_them():
    for machine in MACHINES:
        conditions = mix.MODELS[machine].CONDITIONS
        assert not set(conditions["source"]) & set(conditions["target"])
        clips = [c for c in build.clips(machine, 1, 1, 40) if c.label == "anomaly"]
        for domain, wanted in conditions.items():
            met = {(c.fault, c.condition) for c in clips if c.domain == domain}
            assert met == {(kind, condition) for kind in faults.KINDS for condition in wanted}


# ---- the same bytes, whatever else is built ----


def test_same_seed_gives_same_bytes_and_another_seed_others(tmp_path):
    first = made(tmp_path / "a")
    assert first == made(tmp_path / "b")
    other = made(tmp_path / "c", seed=1)
    waves = [k for k in first if k.endswith(".wav")]
    assert first.keys() == other.keys() and all(first[k] != other[k] for k in waves)


def test_a_clip_does_not_depend_on_how_many_others_there_are(tmp_path):
    few, more = made(tmp_path / "a"), made(tmp_path / "b", train_source=3, train_target=2, test=2)
    waves = [k for k in few if k.endswith(".wav")]
    assert waves and all(few[k] == more[k] for k in waves)


def test_variants_are_other_machines():
    clip = mix.Clip("fan", "source", "train", "normal", 0)
    one, other = (sum(mix.parts(clip, 0.5, 0, noise_sources=4, variant=v)) for v in (1, 2))
    assert one.shape == other.shape and not np.allclose(one, other)
    assert mix.place("fan", 1, 4)[0].bearing != mix.place("fan", 2, 4)[0].bearing


@pytest.mark.parametrize("variant", range(40))
def test_every_variant_stands_in_its_hall(variant):
    for domain in ("source", "target"):
        hall = mix.place("slider", variant, 4)[1][domain][0]
        points = np.vstack([hall.sources, hall.mics])
        assert (points > 0.2).all() and (points < hall.size - 0.2).all()
        near, far = np.linalg.norm(hall.mics - hall.sources[0], axis=1)
        assert near < 0.7 and far > 3 * near


# ---- more than one machine of a kind ----


@pytest.mark.parametrize(("machine", "kind"), [("fan_2", "fan"), ("gearbox_02", "gearbox"), ("slider_b", "slider")])
def test_a_second_machine_of_a_kind_has_its_conditions_and_a_draw_hall_and_noise_of_its_own(tmp_path, machine, kind):
    first, second = made(tmp_path / "a", kind), made(tmp_path / "b", machine)
    assert [key.replace(f"{machine}/", f"{kind}/", 1) for key in sorted(second)] == sorted(first)
    waves = [key for key in second if key.endswith(".wav")]
    assert waves and all(second[key] != first[key.replace(machine, kind, 1)] for key in waves)
    header, *table = rows(tmp_path / "b" / machine / "attributes_00.csv")
    assert header == rows(tmp_path / "a" / kind / "attributes_00.csv")[0]
    assert sorted(row[0] for row in table) == sorted(waves)


def test_each_machine_of_a_kind_has_its_own_place():
    clips = [mix.Clip(machine, "source", "train", "normal", 0) for machine in ("fan", "fan_2", "fan_3")]
    sounds = [mix.parts(clip, 0.5, 0, noise_sources=4) for clip in clips]
    for (machine, noise), (other_machine, other_noise) in pairwise(sounds):
        assert not np.allclose(machine, other_machine) and not np.allclose(noise, other_noise)


# ---- noise ----


def coherence(x):
    """Return the magnitude-squared coherence of two channels (2, samples), the mean over 200 Hz to 7 kHz."""
    frequency, spectrum = csd(x[0], x[1], 16000, nperseg=1024)
    powers = np.prod([welch(channel, 16000, nperseg=1024)[1] for channel in x], axis=0)
    return np.mean((np.abs(spectrum) ** 2 / powers)[(frequency > 200) & (frequency < 7000)])


@pytest.mark.parametrize("machine", MACHINES)
def test_the_more_noise_sources_the_less_of_the_near_noise_the_far_channel_explains(machine):
    clips = [mix.Clip(machine, domain, "train", "normal", n) for domain in ("source", "target") for n in range(2)]
    one, two, four, eight = (
        np.mean([coherence(mix.parts(clip, 4.0, 0, noise_sources=count)[1]) for clip in clips])
        for count in (1, 2, 4, 8)
    )
    assert one > 1.1 * two > 1.21 * four > 1.33 * eight


def test_the_noise_is_the_sum_of_sources_that_sound_independently():
    """Each from a place of its own, and a source more leaves the others' sound as it is."""
    clip, heard = mix.Clip("fan", "source", "train", "normal", 0), {}
    for count in (3, 4):
        noises, hall = mix.place("fan", 5, count)[1]["source"][::-1]
        assert len(noises) == count and len(hall.sources) == 2 + count
        assert len(np.unique(hall.sources, axis=0)) == 2 + count
        heard[count] = noises, hall.sources
    assert np.array_equal(heard[4][1][:5], heard[3][1])
    for new, old in zip(heard[4][0], heard[3][0], strict=False):
        assert new.hum == old.hum and np.array_equal(new.colour, old.colour)
    assert not np.allclose(*(mix.parts(clip, 0.5, 0, noise_sources=n, variant=5)[1] for n in (3, 4)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_number_of_noise_sources_changes_nothing_of_machine_hall_and_levels(count):
    clip = mix.Clip("gearbox", "target", "train", "normal", 3)
    ours, fours = (mix.parts(clip, 1.0, 0, noise_sources=n) for n in (count, 4))
    for got, wanted in zip(ours, fours, strict=True):
        ratio = signals.rms(got) / signals.rms(wanted)
        assert ratio == pytest.approx(1, abs=0.02)  # the level is that of the sum, which swings with their phases
    for got, wanted in zip(ours[0], fours[0], strict=True):
        assert np.abs(signals.unit(got) - signals.unit(wanted)).max() < 1e-9
    snr = [signals.rms(sound) / signals.rms(noise) for sound, noise in (ours, fours)]
    assert snr[0] == pytest.approx(snr[1], rel=1e-9)


def test_harmonics_are_tones_of_one_shaft():
    cycles, amplitudes = np.cumsum(np.full(4000, 0.01)), [1.0, 0.3, 0.0, 0.2]
    got = signals.harmonics(cycles, iter(amplitudes), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    wanted = sum(a * signals.tone(cycles, k, rng) for k, a in enumerate(amplitudes, 1))
    assert np.abs(got - wanted).max() < 1e-10


@pytest.mark.parametrize("n", [1, 50, 700, 5000])
def test_what_is_heard_is_the_sum_of_the_convolutions(n):
    rng = np.random.default_rng(n)
    sounds, responses = rng.standard_normal((3, n)), rng.standard_normal((3, 2, 90))
    wanted = [sum(np.convolve(sounds[s], responses[s, m])[:n] for s in range(3)) for m in range(2)]
    assert np.abs(room.heard(sounds, responses) - wanted).max() < 1e-10


# ---- levels ----


def auc(scores, labels):
    ranks, positives = rankdata(scores), np.sum(labels)
    return (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * np.sum(~labels))


@pytest.mark.parametrize("machine", MACHINES)
def test_levels_tell_nothing_about_the_label(machine):
    clips = [c for c in build.clips(machine, 1, 1, 8) if c.split == "test"]
    labels = np.array([c.label == "anomaly" for c in clips])
    levels = {"machine": [], "noise": [], "sum": []}
    for clip in clips:
        sound, noise = mix.parts(clip, 0.5, 0, noise_sources=4)
        for name, part in (("machine", sound), ("noise", noise), ("sum", sound + noise)):
            levels[name].append(signals.rms(part))
    for name, values in levels.items():
        for channel, heard in enumerate(np.transpose(values)):
            assert abs(auc(heard, labels) - 0.5) < 0.1, (name, channel)
    near = 20 * np.log10(np.array(levels["sum"])[:, 0])
    assert np.ptp(near) > 3  # there is a spread to hide in


def test_the_far_microphone_hears_less_machine_in_the_noise():
    for machine in MACHINES:
        for number in range(4):
            for domain in ("source", "target"):
                sound, noise = mix.parts(mix.Clip(machine, domain, "train", "normal", number), 0.5, 0, noise_sources=4)
                near, far = 20 * np.log10(signals.rms(sound) / signals.rms(noise))
                assert far < near - 6 and near > 0


def test_nothing_is_clipped():
    clips = [c for m in MACHINES for c in build.clips(m, 1, 1, 4) if c.label == "anomaly"]
    assert max(np.abs(sum(mix.parts(c, 0.5, 0, noise_sources=4))).max() for c in clips) < 0.7


# ---- each fault changes what it is meant to change ----


def pair(machine, fault, number=2, seconds=4.0):
    """Return the same clip's machine sound (2, samples), healthy and with a fault."""
    clip = mix.Clip(machine, "source", "test", "anomaly", number)
    return [mix.parts(replace(clip, fault=kind), seconds, 0, noise_sources=4)[0] for kind in ("", fault)]


def spectrum(x):
    """Return third-octave-like levels (bands,) in dB, 150 Hz to 7.5 kHz."""
    f, power = welch(x, 16000, nperseg=1024)
    edges = np.geomspace(150, 7500, 16)
    return 10 * np.log10([power[(f >= a) & (f < b)].mean() for a, b in pairwise(edges)])


def transfer(x):
    f, cross = csd(x[0], x[1], 16000, nperseg=1024)
    keep = (f > 300) & (f < 4000)
    return (cross / welch(x[0], 16000, nperseg=1024)[1])[keep]


def swing(x, low, high):
    """Return the share of the envelope's power between ``low`` and ``high`` Hz, against its mean squared."""
    envelope = np.sqrt(np.mean(x[: len(x) // 160 * 160].reshape(-1, 160) ** 2, axis=1))  # 100 Hz
    power = np.abs(np.fft.rfft(envelope / envelope.mean() - 1)) ** 2 / len(envelope) ** 2
    f = np.fft.rfftfreq(len(envelope), 0.01)
    return power[(f >= low) & (f < high)].sum()


def peaks(x):
    """Return how far the loudest moments stick out of the median in each third octave, in dB."""
    f, _, z = stft(x, 16000, nperseg=512)
    edges = 200 * 2 ** (np.arange(16) / 3)
    power = [np.mean(np.abs(z[(f >= a) & (f < b)]) ** 2, axis=0) for a, b in pairwise(edges)]
    return 10 * np.log10(np.percentile(power, 99, axis=1) / np.median(power, axis=1))


def bursts(machine, fault):
    """Return by how much ``fault`` raises the peaks in its most telling band, in dB, mean of four clips."""
    pairs = [pair(machine, fault, number) for number in (2, 6, 10, 14)]
    return np.mean([np.max(peaks(faulty[0]) - peaks(healthy[0])) for healthy, faulty in pairs])


@pytest.mark.parametrize("machine", MACHINES)
def test_an_open_panel_changes_the_transfer_function_and_hardly_the_near_spectrum(machine):
    healthy, faulty = pair(machine, "path")
    change = np.linalg.norm(transfer(faulty) - transfer(healthy)) / np.linalg.norm(transfer(healthy))
    assert change > 0.25
    near = spectrum(faulty[0]) - spectrum(healthy[0])
    assert np.abs(near - near.mean()).max() < 0.6
    worn = pair(machine, "wear")[1]
    assert np.linalg.norm(transfer(worn) - transfer(healthy)) / np.linalg.norm(transfer(healthy)) < change / 2


@pytest.mark.parametrize("machine", MACHINES)
def test_wear_changes_the_mean_spectrum_and_not_the_envelope(machine):
    healthy, faulty = pair(machine, "wear")
    change = spectrum(faulty[0]) - spectrum(healthy[0])
    assert change.max() - np.median(change) > 2
    assert bursts(machine, "wear") < 0.7


@pytest.mark.parametrize("machine", MACHINES)
def test_modulation_swings_the_envelope_and_leaves_the_spectrum(machine):
    healthy, faulty = pair(machine, "modulation")
    assert swing(faulty[0], 2, 14) > 1.3 * swing(healthy[0], 2, 14)
    assert np.abs(spectrum(faulty[0]) - spectrum(healthy[0])).max() < 2


@pytest.mark.parametrize("machine", MACHINES)
def test_intermittent_events_stick_out_of_the_sound(machine):
    assert bursts(machine, "intermittent") > 2


def test_impulse_responses_arrive_in_order_and_decay():
    hall = mix.place("fan", 0, 4)[1]["source"][0]
    responses = room.paths(hall, np.random.default_rng(0))
    arrival = np.argmax(np.abs(responses) > 0.5 * np.abs(responses).max(axis=2, keepdims=True), axis=2)
    assert arrival[0, 0] < arrival[0, 1]  # near before far
    distances = np.linalg.norm(hall.sources[0] - hall.mics, axis=1)
    assert arrival[0, 1] - arrival[0, 0] == pytest.approx(np.diff(distances)[0] / 343 * 16000, abs=6)
    assert np.sum(responses[0, 0] ** 2) > 4 * np.sum(responses[0, 1] ** 2)


# ---- errors, and nothing half-written ----


@pytest.mark.parametrize(
    ("machine", "changes", "words"),
    [
        ("pump", {}, "machine: 'pump' is not simulated; choose one of fan, gearbox, slider"),
        (
            "fann_2",
            {},
            "choose one of fan, gearbox, slider, or more of a kind as fan_2",
        ),
        ("2_fan", {}, "machine: '2_fan' is not simulated"),
        ("fan", {"noise_sources": 0}, "noise_sources: 0 is not positive; give at least 1"),
        ("fan", {"train_source": 0}, "train_source: 0"),
        ("fan", {"train_target": -1}, "train_target: -1"),
        ("fan", {"test": 0}, "test: 0"),
        ("fan", {"seconds": 0.0}, "seconds: 0.0"),
    ],
)
def test_what_cannot_be_built_is_named(tmp_path, machine, changes, words):
    with pytest.raises(NearfarError, match=words.replace("'", ".")) as error:
        build.build(machine, tmp_path / "x", **{**COUNTS, **changes})
    assert "\n" not in str(error.value) and not (tmp_path / "x").exists()


def test_a_failed_build_leaves_what_was_there(tmp_path, monkeypatch):
    before = made(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(NearfarError, match="fan: cannot be written .*no space left"):
        build.build("fan", tmp_path, **COUNTS)
    assert before == {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}


def test_a_rebuild_replaces_a_simulated_folder_and_nothing_else(tmp_path):
    made(tmp_path)
    assert len([k for k in made(tmp_path, test=2) if k.endswith(".wav")]) == 11
    (tmp_path / "slider").mkdir()
    (tmp_path / "slider" / "recording.wav").touch()
    with pytest.raises(NearfarError, match="slider: holds something else"):
        build.build("slider", tmp_path, **COUNTS)
    assert (tmp_path / "slider" / "recording.wav").exists()


def test_every_seed_gives_microphones_inside_the_hall():
    """Five of 2,000 halls are drawn with a microphone behind a wall; this is one of them."""
    outside = None
    for seed in range(3000):
        drawn = room.draw(np.random.default_rng(seed), 4)
        moved = room.shifted(drawn, np.random.default_rng(seed))
        if (moved.mics > drawn.size).any() or (moved.mics < 0).any():
            outside = moved
            break
    assert outside is not None
    assert np.isfinite(room.paths(outside, np.random.default_rng(0))).all()
