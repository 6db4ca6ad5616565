import gzip
from collections import Counter

import pytest
from conftest import ROOT

from nearfar.data.names import HIDDEN, attribute_pairs, parse
from nearfar.errors import NearfarError


def test_all_real_names_parse(shared):
    text = gzip.decompress((shared / "reference/dcase2026_filenames.txt.gz").read_bytes()).decode()
    counts = Counter()
    for machine, split, file in (line.split("/") for line in text.split()):
        name = parse(file, split)
        counts[machine, name.split, name.domain, name.label] += 1
    assert sum(counts.values()) == 14400
    assert counts["fan", "train", "source", "normal"] == 990
    assert counts["fan", "train", "target", "normal"] == 10
    assert counts["gearboxEmu", "test", "target", "anomaly"] == 50
    assert counts["Sander", "test", None, None] == 200


def test_sample_of_real_names_parses():
    lines = (ROOT / "tests/data/real_names.txt").read_text().split()
    names = [parse(file, split) for _, split, file in (line.split("/") for line in lines)]
    assert len(names) == 48
    assert {name.domain for name in names} == {"source", "target", None}


def test_repeated_keys_are_kept():
    pairs = attribute_pairs("car_C1_spd_2_mic_2_mic_1")
    assert pairs == [("car", "C1"), ("spd", "2"), ("mic", "2"), ("mic", "1")]


def test_attributes_keep_their_case_and_may_be_hidden():
    assert attribute_pairs("pro_y") != attribute_pairs("pro_Y")
    assert parse("section_00_source_train_normal_0000_noAttribute.wav", "train").attribute == HIDDEN
    assert attribute_pairs(HIDDEN) == []


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("section_00_source_test_normal_0000_a_1.wav", "train"),
        ("section_00_source_train_anomaly_0000_a_1.wav", "train"),
        ("section_00_0000.wav", "train"),
        ("section_0_source_train_normal_0000_a_1.wav", "train"),
        ("section_00_source_train_normal_0000_a_1.WAV", "train"),
        ("monday.wav", "test"),
    ],
)
def test_other_names_are_refused(file, split):
    with pytest.raises(NearfarError, match=file.replace(".", r"\.")):
        parse(file, split)
