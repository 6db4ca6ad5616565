"""Checks of the configuration, made while the workflow is parsed: a mistake ends there, in one line."""

import ast
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nearfar.backbones.families import FAMILIES, views_of
from nearfar.data.dataset import is_own
from nearfar.data.documents import compose_yaml, read_text
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.kinds import SCHEMAS
from nearfar.jobs.provenance import ROOT, parsed
from nearfar.systems.weights import members_of

METHODS = "src/nearfar/detectors/methods"
SET_BY_JOBS = {"self", "seed", "device"}
# trained features and the signals they are computed for
OWN_RULES = {"autoencoder": ["near"], "classifier": ["near", "far", "residual"], "lccr": ["pair"]}
LEARNED = FAMILIES.keys() | OWN_RULES.keys()  # features with rules of their own


def check(config: dict, schema: dict) -> None:
    """Raise NearfarError, one line that names the key, where the configuration breaks the schema or itself."""
    _refuse_not_finite(config)
    _check_schema(config, schema)
    _check_results(config["results"])
    _check_data(config["data"])
    _check_features(config["features"], schema["$defs"]["embedding"])
    views = {view for feature in config["features"] for view in views_of_feature(config, feature)}
    for name, given in config["methods"].items():
        _check_parameters(f"methods.{name}", given, _method_file("methods", name), "Detector", "__init__", whole=False)
    for name in config["detectors"]:
        _check_detector(config, name, views)
    _check_systems(config)


def check_machines(key: str, wanted: Iterable[str] | None, known: Mapping | list) -> list[str]:
    """Return the machines ``wanted``, all that are ``known`` where it is None; raise NearfarError for another."""
    for name in wanted or []:
        _refuse_unknown(key, name, known, "machine")
    return list(known) if wanted is None else list(wanted)


def parameters_of(config: dict, detector: str) -> dict[str, Any]:
    """Return the parameters of a detector: those of its method, replaced by its own."""
    about = config["detectors"][detector]
    return config["methods"].get(about["method"], {}) | about.get("params", {})


def parameters(file: str, *names: str) -> tuple[dict[str, dict], set[str]]:
    """Return what the function (or class and method) ``names`` in a file of ours takes, without importing it.

    A dict from each parameter but those that the job gives to a JSON Schema of its kind (``nearfar.jobs.kinds``), and
    the names of those without a default.
    """
    body = parsed(file).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            raise NearfarError(f"{file}: defines no {'.'.join(names)}; see CONTRIBUTING.md")
        body = found[0].body
    given = found[0].args
    kinds = {one.arg: _kind(one.annotation) for one in given.kwonlyargs or given.args if one.arg not in SET_BY_JOBS}
    optional = {one.arg for one in given.args[len(given.args) - len(given.defaults) :]}
    optional |= {one.arg for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    return kinds, kinds.keys() - optional


def _kind(annotation: ast.expr | None) -> dict:
    """Return the JSON Schema of an annotation: a name of SCHEMAS or a Literal; anything goes where it is another."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        words = ast.literal_eval(ast.unparse(annotation.slice))
        words = words if isinstance(words, tuple) else (words,)
        return {"enum": list(words), "description": " or ".join(map(str, words))}
    return SCHEMAS.get(annotation.id, {}) if isinstance(annotation, ast.Name) else {}


def _check_schema(value: Any, schema: dict, key: str = "") -> None:
    from jsonschema import Draft202012Validator, validators

    numbers = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, one: type(one) is int)
    numbers = numbers.redefine("number", lambda _, one: type(one) in (int, float))
    strict = validators.extend(Draft202012Validator, type_checker=numbers)  # to JSON Schema 2.0 is a whole number
    for error in strict(schema).iter_errors(value):
        where = ".".join(filter(None, [key, *map(str, error.absolute_path)])) or "configuration"
        what = error.message if len(error.message) < 200 else error.message[:200] + "…"
        hint = error.schema.get("description", "see docs/configuration.md")
        raise NearfarError(f"{where}: {what}; expected: {hint}{_as_number(error.instance)}")


def _as_number(value: Any) -> str:
    """Return a hint where a text such as 1e-3 was meant as a number: without a point YAML takes it for a text."""
    try:
        return f"; written as {float(value)!r} it is a number" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _refuse_not_finite(value: Any, key: str = "") -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise NearfarError(f"{key}: {value} is no number to compute with; write a finite one")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in items:
        _refuse_not_finite(part, f"{key}.{name}" if key else str(name))


def _check_results(results: str) -> None:
    """Raise NearfarError for a folder that Snakemake, or what writes into it, would stumble over later."""
    path = Path(results)
    faults = {
        "braces, which hold Snakemake's wildcards": set(results) & set("{}"),
        "characters that cannot be printed": not results.isprintable(),
        "a ~, which only a shell takes for your home": results.startswith("~"),
        "a colon in a relative path, which pyarrow takes for an address": ":" in results and not path.is_absolute(),
        ".. after a folder, which Snakemake leaves out": ".." in "/".join(path.parts).lstrip("./").split("/"),
        "a name of more than 255 bytes": any(len(os.fsencode(name)) > 255 for name in path.parts),
    }
    for what in (what for what, there in faults.items() if there):
        raise NearfarError(f"results: {results!r} has {what}; name the folder without it")
    for place in (path, *path.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise NearfarError(f"results: {place} is there and no folder; name another, or move it away")


def _check_data(data: dict) -> None:
    """Raise NearfarError where the keys on the recordings contradict one another."""
    if data["sets"] and data["root"] is None:
        raise NearfarError("data.root: null, the simulated factory, with data.sets; name the folder they go into")
    if data["layout"] == "folders" and data["root"] is None:
        raise NearfarError("data.root: null, with data.layout: folders; name the folder of your recordings")
    if data["clips"] is not None and data["root"] is not None:
        raise NearfarError("data.clips: a table, and data.root a folder; give one of the two")
    if data["near"] == data["far"]:
        raise NearfarError(f"data.far: {data['far']} is the near channel; give another, or null for one microphone")
    if data["hop"] is not None and data["window"] is None:
        raise NearfarError("data.hop: given without data.window; give both or none")
    challenge = {"near": (0,), "far": (1,) if data["sets"] else (1, None), "window": (None,)}
    challenge |= {"bad_clips": (None, "refuse"), "few_clips": (None, "refuse")}
    for key, known in challenge.items():
        if data[key] not in known and (data["sets"] or not is_own(data)):
            raise NearfarError(
                f"data.{key}: {data[key]} is for your own recordings, not for the challenge's layout; give those by "
                "data.clips (nearfar import writes the table) or data.layout: folders"
            )


def keep_near(config: dict) -> dict[str, list[str]]:
    """Take out of a configuration what hears a far microphone: channels, detectors and systems.

    Returns a dict from each system taken out to its members that do.
    """
    for family in config["features"].keys() & FAMILIES.keys():
        about = config["features"][family]
        about |= {key: [name for name in about[key] if name == "near"] for key in ("channels", "bands") if key in about}
    detectors, systems = config["detectors"], config["systems"]
    hear = [name for name, about in detectors.items() if any(not view.endswith("/near") for view in about["views"])]
    members = {name: members_of(about, config["core"]) for name, about in systems.items()}
    deaf = {name: [one for one in own if one in hear] for name, own in members.items() if set(own) & set(hear)}
    config["detectors"] = {name: about for name, about in detectors.items() if name not in hear}
    config["systems"] = {name: about for name, about in systems.items() if name not in deaf}
    return deaf


def refuse_deaf(deaf: dict[str, list[str]], config: dict, targets: Iterable[str]) -> None:
    """Raise NearfarError where a target is of a system that one microphone cannot serve."""
    for target in targets:
        system = Path(os.path.relpath(target, config["results"])).parts[0]
        if system in deaf:
            others = ", ".join(config["systems"])
            raise NearfarError(
                f"{target}: {', '.join(deaf[system])} of {system} hear the far microphone, and data.far is null; "
                f"systems for one microphone: {others}"
            )


def _check_features(features: dict, embedding: dict) -> None:
    for name in features.keys() & FAMILIES.keys() - {"eat"}:  # eat stands in the schema, as only it has an adapter
        _check_schema(features[name], embedding, f"features.{name}")
    for key, part, name in (("maps", "maps", "clip_maps"), ("train", "network", "train")):
        _check_parameters(f"features.lccr.{key}", features["lccr"][key], f"src/nearfar/lccr/{part}.py", name)
    for name in features.keys() - LEARNED:
        _check_parameters(f"features.{name}", features[name], f"src/nearfar/features/{name}.py", "extractor")


def views_of_feature(config: dict, feature: str) -> list[str]:
    """Return the views, written feature/channel, that a feature is computed for."""
    if feature in FAMILIES:
        pooled = views_of(feature, config["features"][feature])
    else:
        pooled = {feature: OWN_RULES.get(feature) or _constant(f"src/nearfar/features/{feature}.py", "HEARS")}
    return [f"{name}/{channel}" for name, channels in pooled.items() for channel in channels]


def _constant(file: str, name: str) -> Any:
    for node in parsed(file).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise NearfarError(f"{file}: defines no {name}; see CONTRIBUTING.md")


def _check_detector(config: dict, name: str, views: set[str]) -> None:
    about, key = config["detectors"][name], f"detectors.{name}"
    for view in about["views"]:
        _refuse_unknown(f"{key}.views", view, views, "view")
        _check_folds(f"{key}.folds", view, about.get("folds", config["folds"]), config["features"]["classifier"])
    file = _method_file(f"{key}.method", about["method"])
    _check_parameters(f"{key}.params", parameters_of(config, name), file, "Detector", "__init__")
    _refuse_unknown(f"{key}.other_form_of", about.get("other_form_of", name), config["detectors"], "detector")


def _check_folds(key: str, view: str, folds: int, classifier: dict) -> None:
    if view.startswith("classifier/") and folds != classifier["folds"]:
        made = classifier["folds"]
        raise NearfarError(
            f"{key}: {folds}, but {view} is trained in {made} (features.classifier.folds); make them equal"
        )


def _method_file(key: str, method: str) -> str:
    known = {path.stem for path in (ROOT / METHODS).glob("*.py")} - {"__init__"}
    _refuse_unknown(key, method, known, "method")
    return f"{METHODS}/{method}.py"


def _check_parameters(key: str, given: dict, file: str, *names: str, whole: bool = True) -> None:
    kinds, needed = parameters(file, *names)
    for name in given:
        _refuse_unknown(key, name, kinds, "parameter")
    _check_schema(given, {"type": "object", "properties": kinds}, key)
    if whole and (absent := needed - given.keys()):
        raise NearfarError(f"{key}: {min(absent)} has no value; give it one there or under methods")


def _check_systems(config: dict) -> None:
    detectors, systems = config["detectors"], config["systems"]
    for name in config["core"]:
        _refuse_unknown("core", name, detectors, "detector")
    for name, about in systems.items():
        _check_system(f"systems.{name}", about, config["core"], detectors)
    if "families" in systems.get(config["statistics"]["taken_apart"], {}):
        raise NearfarError("statistics.taken_apart: a system of families has no weights to choose; name another")
    for name in [config["statistics"]["taken_apart"], *(config["statistics"]["systems"] or [])]:
        _refuse_unknown("statistics", name, systems, "system")
    for name in config["submission"]["systems"]:
        _refuse_unknown("submission.systems", name, systems, "system")


def _check_system(key: str, about: dict, core: list[str], detectors: dict) -> None:
    if ("weights" in about) == ("families" in about):
        raise NearfarError(f"{key}: fuses by weights or by families; give one of the two")
    if ("combine" in about) != ("families" in about) or ("ranks" in about and "families" in about):
        raise NearfarError(f"{key}: families go with combine, weights with ranks; take the other out")
    key += ".weights" if "weights" in about else ".families"
    for detector in about["weights"] if "weights" in about else members_of(about, core):
        _refuse_unknown(key, detector, detectors, "detector")
    if "weights" in about:
        _check_weights(key, about["weights"], core)
    else:
        _refuse_twice(key, about["families"])


def _refuse_twice(key: str, families: dict[str, list[str]]) -> None:
    """Families that count alike share no detector, or it would count twice."""
    members = [name for family in families.values() for name in family]
    for name in members:
        if members.count(name) > 1:
            raise NearfarError(f"{key}: {name} is of two families and would count twice; take it out of one")


def _check_weights(key: str, weights: dict, core: list[str]) -> None:
    total = sum(weights.values())
    if set(weights) & set(core):
        raise NearfarError(f"{key}: {', '.join(core)} share what the others leave (Eq. 1); take them out")
    if total > 1 + 1e-9:
        raise NearfarError(f"{key}: sum to {total:g}; they may sum to 1 at most")


def _refuse_unknown(key: str, name: Any, known: Iterable, kind: str) -> None:
    if name not in known:
        raise NearfarError(f"{key}: unknown {kind} {name!r}; known: {', '.join(sorted(map(str, known)))}")


def refuse_repeated_keys(path: str | Path) -> None:
    """Raise NearfarError where a YAML file gives a key twice: only the last would count, without a word.

    Its values are for ``check`` to judge, which names them by their keys.
    """
    with error_prefix(path):
        compose_yaml(read_text(path))
