"""The configuration is held to what it may say, while the workflow is parsed."""

import copy
import importlib
import inspect
import re

import pytest
import yaml
from conftest import CONFIG, ROOT

from nearfar import settings
from nearfar.errors import NearfarError

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def numbers(value, keys=()):
    """Every place of a number in a configuration, as a tuple of keys."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [place for key, part in parts for place in numbers(part, (*keys, key))]
    return found + [keys] * (type(value) in (int, float))


def with_value(keys, value):
    changed = copy.deepcopy(CONFIG)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return changed


def refused(config):
    with pytest.raises(NearfarError) as error:
        settings.check(config, SCHEMA)
    line = str(error.value)
    assert "\n" not in line and ";" in line
    return line


def test_the_default_configuration_is_accepted():
    settings.check(CONFIG, SCHEMA)
    assert len(numbers(CONFIG)) > 80


@pytest.mark.parametrize("machines", [["fan", "fan_2", "gearbox_02", "slider_b"], ["slider_2"]])
def test_several_machines_of_a_kind_may_be_simulated(machines):
    settings.check(with_value(("factory", "machines"), machines), SCHEMA)


@pytest.mark.parametrize("machine", ["pump", "fann_2", "2_fan", "fan_", "fan_2_3", "fan 2", "Fan", "fan_../x", "", 2])
def test_a_machine_of_an_unknown_kind_or_another_name_is_refused(machine):
    assert refused(with_value(("factory", "machines"), ["fan", machine])).startswith("factory.machines.1: ")


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
def test_a_number_that_is_none_is_refused_at_every_key(text):
    for keys in numbers(CONFIG):
        line = refused(with_value(keys, yaml.safe_load(text)))
        assert line.startswith(".".join(map(str, keys)) + ": "), line


def test_a_whole_number_with_a_point_is_refused_where_one_is_counted():
    counted = [keys for keys in numbers(CONFIG) if _value(keys) == int(_value(keys))]
    for keys in counted:
        if isinstance(_value(keys), int) and _typed_integer(keys):
            assert refused(with_value(keys, float(_value(keys)))).startswith(".".join(map(str, keys)) + ": ")
    assert sum(map(_typed_integer, counted)) > 25


def _value(keys):
    value = CONFIG
    for key in keys:
        value = value[key]
    return value


def _typed_integer(keys):
    """Whether a half is refused there as no whole number."""
    try:
        settings.check(with_value(keys, _value(keys) + 0.5), SCHEMA)
    except NearfarError as error:
        return "is not of type 'integer'" in str(error)
    return False


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("seed",), 0.0, "seed: 0.0 is not of type 'integer'"),
        (("seed",), True, "seed: True is not of type 'integer'"),
        (("folds",), 2.0, "folds: 2.0 is not of type 'integer'"),
        (("features", "eat", "adapter", "lr"), "1e-3", "written as 0.001 it is a number"),
        (("methods", "flow", "lr"), "1e-3", "methods.flow.lr: '1e-3' is not of type 'number'"),
        (("methods", "flow", "lr"), 0, "methods.flow.lr: 0 is less than or equal to the minimum of 0"),
        (("methods", "flow", "components"), 8.0, "methods.flow.components: 8.0 is not of type 'integer'"),
        (("methods", "flow", "early_stopping"), "no", "methods.flow.early_stopping: 'no' is not of type 'boolean'"),
        (("methods", "flow", "held_out"), 1.5, "methods.flow.held_out: 1.5 is greater than the maximum of 1"),
        (("methods", "knn", "reference"), "both", "expected: domain or pooled"),
        (("methods", "knn", "k"), 3, "methods.knn: unknown parameter 'k'; known: reference"),
        (("methods", "svm"), {}, "methods: unknown method 'svm'"),
        (("detectors", "raw", "params"), {"covariance": 1}, "detectors.raw.params.covariance: 1 is not one of"),
        (("features", "logmel", "mels"), 0, "features.logmel.mels: 0 is less than the minimum of 1"),
        (("features", "rtf", "floor"), -1e-8, "features.rtf.floor: -1e-08 is less than the minimum of 0"),
        (("systems", "system1", "weights", "raw"), float("nan"), "systems.system1.weights.raw: nan is no number"),
        (("features", "eat", "backbone", "config"), {"depth": float("inf")}, "features.eat.backbone.config.depth: inf"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_key(keys, value, says):
    assert says in refused(with_value(keys, value))


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (
            {"families": {"a": ["raw"]}},
            "systems.mine: families go with combine, weights with ranks; take the other out",
        ),
        ({"weights": {}, "combine": "mean"}, "systems.mine: families go with combine"),
        ({"families": {"a": ["raw"]}, "combine": "mean", "ranks": "train"}, "systems.mine: families go with combine"),
        (
            {"families": {"a": ["raw"]}, "combine": "mean", "weights": {}},
            "systems.mine: fuses by weights or by families",
        ),
        ({}, "systems.mine: fuses by weights or by families; give one of the two"),
        ({"families": {"a": ["row"]}, "combine": "mean"}, "systems.mine.families: unknown detector 'row'; known: "),
        ({"families": {"a": []}, "combine": "mean"}, "systems.mine.families.a: [] should be non-empty"),
        ({"families": {}, "combine": "mean"}, "systems.mine.families: {} should be non-empty"),
        ({"families": {"a": ["raw"]}, "combine": "max"}, "systems.mine.combine: 'max' is not one of ['mean', "),
        ({"families": {"a": ["raw"], "b": ["knn", "raw"]}, "combine": "mean"}, "systems.mine.families: raw is of two"),
    ],
)
def test_a_system_that_fuses_in_no_one_way_is_refused(about, says):
    assert says in refused(with_value(("systems", "mine"), about))


def test_a_system_of_families_has_no_weights_to_choose():
    config = with_value(("systems", "mine"), {"families": {"a": ["raw"]}, "combine": "mean"})
    settings.check(config, SCHEMA)
    config["statistics"]["taken_apart"] = "mine"
    assert "statistics.taken_apart: a system of families has no weights to choose" in refused(config)


def test_a_parameter_without_a_value_is_refused():
    config = copy.deepcopy(CONFIG)
    del config["methods"]["flow"]["lr"]
    assert "detectors.flow.params: lr has no value" in refused(config)


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ("", "results: '' should be non-empty"),
        ("run{1}", "results: 'run{1}' has braces"),
        ("out/{machine}", "results: 'out/{machine}' has braces"),
        ("out\nput", "results: 'out\\nput' has characters that cannot be printed"),
        ("~/out", "results: '~/out' has a ~"),
        ("s3://bucket/out", "results: 's3://bucket/out' has a colon in a relative path"),
        ("out/../other", "results: 'out/../other' has .. after a folder"),
        ("../a/../b", "has .. after a folder"),
        ("out/" + "x" * 256, "has a name of more than 255 bytes"),
        ("out/" + "é" * 128, "has a name of more than 255 bytes"),
        ("file", "results: file is there and no folder"),
        ("file/below", "results: file is there and no folder"),
        ("dangling/below", "results: dangling is there and no folder"),
    ],
)
def test_a_results_folder_that_cannot_be_is_refused_by_its_key(tmp_path, monkeypatch, results, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert says in refused(with_value(("results",), results))


@pytest.mark.parametrize(
    "results", ["my results", "results/", "../out", "../../out/x", "./a//b", "a..b/..c", "/a:b/c", "."]
)
def test_any_other_results_folder_is_accepted(tmp_path, monkeypatch, results):
    monkeypatch.chdir(tmp_path)
    settings.check(with_value(("results",), results), SCHEMA)


@pytest.mark.parametrize("keys", [("pretraining", "train"), ("features", "eat", "adapter")])
def test_a_training_that_lacks_a_value_is_refused_by_its_key(keys):
    for name in _value(keys):
        left = {key: value for key, value in _value(keys).items() if key != name}
        assert f"{'.'.join(keys)}: {name!r} is a required property" in refused(with_value(keys, left))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: 1\ndata: {root: a}\nseed: 2\n", "line 3: seed stands in line 1 already; delete one"),
        (
            "detectors:\n  raw: {method: knn}\n  flow: {}\n  raw: {method: knn}\n",
            "line 4: raw stands in line 2 already",
        ),
        ("submission:\n  authors:\n    - {lastname: A, lastname: B}\n", "line 3: lastname stands in line 3 already"),
        ('{"folds": 2,\n "folds": 3}', "line 2: folds stands in line 1 already"),
        (
            "a: &a0 [1, 1]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(20)),
            "with its aliases written",
        ),
        ("seed: 1\n# caf\udce9\n", "line 2: not UTF-8; save it as that"),
    ],
)
def test_a_key_twice_is_refused_and_a_file_out_of_bounds(tmp_path, text, says):
    (tmp_path / "mine.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(NearfarError, match=re.escape(f"{tmp_path / 'mine.yaml'}: ")) as error:
        settings.refuse_repeated_keys(tmp_path / "mine.yaml")
    assert says in str(error.value)


def test_a_number_that_is_none_is_left_to_the_check_which_names_its_key(tmp_path):
    (tmp_path / "mine.yaml").write_text("methods: {flow: {lr: .nan}}")
    settings.refuse_repeated_keys(tmp_path / "mine.yaml")
    assert refused(with_value(("methods", "flow", "lr"), float("nan"))).startswith("methods.flow.lr: nan is no number")


def test_the_shipped_configurations_give_no_key_twice():
    for path in (ROOT / "config").glob("*.yaml"):
        settings.refuse_repeated_keys(path)


HOMES = {  # what the configuration sets: the function that takes it, and the block with the values
    **{
        f"nearfar.detectors.methods.{name}:Detector": ("methods", name)
        for name in ("mahalanobis", "whitened", "flow", "predictive", "knn", "reconstruction")
    },
    "nearfar.features.logmel:extractor": ("features", "logmel"),
    "nearfar.features.rtf:extractor": ("features", "rtf"),
    "nearfar.learning.classes:cluster": ("training", "clusters"),
    "nearfar.lccr.maps:clip_maps": ("features", "lccr", "maps"),
    "nearfar.lccr.network:train": ("features", "lccr", "train"),
    "nearfar.detectors.normalization:normalize": ("normalization",),
}


@pytest.mark.parametrize("function", HOMES)
def test_a_default_has_one_home(function):
    module, name = function.split(":")
    signature = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    values = _value(HOMES[function])
    assert values and values.keys() <= signature.keys()
    assert [key for key in values if signature[key].default is not inspect.Parameter.empty] == []


@pytest.mark.parametrize(
    "function",
    [
        "nearfar.adapter.training:Settings",
        "nearfar.autoencoder.network:train",
        "nearfar.learning.classes:write_classes",
        "nearfar.lccr.maps:write_maps",
        "nearfar.pretraining.data:write_inputs",
        "nearfar.pretraining.run:Run",
        "nearfar.pretraining.run:pretrain",
    ],
)
def test_what_trains_has_no_default_at_all(function):
    module, name = function.split(":")
    signature = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert [key for key, one in signature.items() if one.default is not inspect.Parameter.empty] == []


OWN = {"clips": "mine.csv", "root": None}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"root": "a", "near": 1, "far": 0}, "data.near: 1 is for your own recordings"),
        ({"root": "a", "window": 10.0}, "data.window: 10.0 is for your own recordings"),
        ({"root": "a", "bad_clips": "skip"}, "data.bad_clips: skip is for your own recordings"),
        ({"root": "a", "few_clips": "cap"}, "data.few_clips: cap is for your own recordings"),
        ({"root": "a", "clips": "b.csv"}, "data.clips: a table, and data.root a folder"),
        ({"root": None, "layout": "folders"}, "data.root: null, with data.layout: folders"),
        (OWN | {"near": 1}, "data.far: 1 is the near channel"),
        (OWN | {"hop": 5.0}, "data.hop: given without data.window"),
    ],
)
def test_keys_on_recordings_that_contradict_one_another(data, said):
    changed = copy.deepcopy(CONFIG)
    changed["data"] |= data
    assert refused(changed).startswith(said)


@pytest.mark.parametrize("data", [OWN, OWN | {"far": None}, {"root": "a", "far": None}, OWN | {"window": 10.0}])
def test_own_recordings_and_one_microphone_are_accepted(data):
    changed = copy.deepcopy(CONFIG)
    changed["data"] |= data
    settings.check(changed, SCHEMA)


def test_one_microphone_leaves_what_hears_near_alone():
    changed = copy.deepcopy(CONFIG)
    deaf = settings.keep_near(changed)
    assert deaf["system1"] == ["c1", "lccr_flow", "lccr_mahalanobis", "spatial"]
    assert {"core", "mono", "system4"} <= changed["systems"].keys() and not deaf.keys() & changed["systems"].keys()
    assert changed["features"]["eat"]["channels"] == changed["features"]["eat"]["bands"] == ["near"]
    views = {view for about in changed["detectors"].values() for view in about["views"]}
    assert views and all(view.endswith("/near") for view in views)
    with pytest.raises(NearfarError, match=r"c1.* of system1 hear the far microphone.*: core, .*mono"):
        settings.refuse_deaf(deaf, changed, ["--cores", "2", "results/system1/eval.csv"])
    settings.refuse_deaf(deaf, changed, ["results/mono/ranking.csv", "detectors.csv"])
