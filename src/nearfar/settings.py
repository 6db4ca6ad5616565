"""Checks of the configuration, made while the workflow is parsed: a mistake ends there, in one line."""

from nearfar.errors import NearfarError
from nearfar.jobs.provenance import ROOT, parsed

SET_BY_JOBS = {"self", "seed", "rate", "threads", "device"}
LEARNED = {"autoencoder", "beats", "eat", "lccr"}  # features with rules of their own


def check(config, schema):
    """Raise NearfarError, one line that names the key, where the configuration breaks the schema or itself."""
    _check_schema(config, schema)
    if config["data"]["sets"] and config["data"]["root"] is None:
        raise NearfarError("data.root: null, the simulated factory, with data.sets; name the folder they go into")
    views = {f"{feature}/{channel}" for feature, about in config["features"].items() for channel in about["channels"]}
    _check_features(config["features"])
    for name, about in config["detectors"].items():
        _check_detector(f"detectors.{name}", about, views)
        _refuse_unknown(
            f"detectors.{name}.other_form_of", about.get("other_form_of", name), config["detectors"], "detector"
        )
    for name in config["core"]:
        _refuse_unknown("core", name, config["detectors"], "detector")
    for name, about in config["systems"].items():
        for detector in about["weights"]:
            _refuse_unknown(f"systems.{name}.weights", detector, config["detectors"], "detector")
        _check_weights(f"systems.{name}.weights", about["weights"], config["core"])
    for name in [config["statistics"]["taken_apart"], *(config["statistics"]["systems"] or [])]:
        _refuse_unknown("statistics", name, config["systems"], "system")
    for name in config["submission"]["systems"]:
        _refuse_unknown("submission.systems", name, config["systems"], "system")


def check_machines(key, wanted, known):
    """Return the machines ``wanted``, all that are ``known`` where it is None; raise NearfarError for another."""
    for name in wanted or []:
        _refuse_unknown(key, name, known, "machine")
    return list(known) if wanted is None else list(wanted)


def _check_schema(config, schema):
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema).iter_errors(config):
        where = ".".join(map(str, error.absolute_path)) or "configuration"
        what = error.message if len(error.message) < 200 else error.message[:200] + "…"
        hint = error.schema.get("description", "see config/schema.yaml")
        raise NearfarError(f"{where}: {what}; expected: {hint}")


def _check_features(features):
    accepted = {
        "features.lccr.maps": (features["lccr"]["maps"], parameters("src/nearfar/lccr/maps.py", "maps")),
        "features.lccr.train": (features["lccr"]["train"], parameters("src/nearfar/lccr/network.py", "train")),
    }
    for name in features.keys() - LEARNED:
        known = parameters(f"src/nearfar/features/{name}.py", "extractor")
        accepted[f"features.{name}.params"] = (features[name]["params"], known)
    for key, (given, known) in accepted.items():
        for name in given:
            _refuse_unknown(key, name, known, "parameter")


def _check_detector(key, about, views):
    for view in about["views"]:
        _refuse_unknown(f"{key}.views", view, views, "view")
    methods = {path.stem for path in (ROOT / "src/nearfar/detectors/methods").glob("*.py")} - {"__init__"}
    _refuse_unknown(f"{key}.method", about["method"], methods, "method")
    accepted = parameters(f"src/nearfar/detectors/methods/{about['method']}.py", "Detector", "__init__")
    for name in about.get("params", {}):
        _refuse_unknown(f"{key}.params", name, accepted, "parameter")


def parameters(file, *names):
    """Return the settings that the function (or class and method) ``names`` in a file of ours takes, unimported.

    These are its keyword-only arguments, or all where it has none, less those that the job itself gives.
    """
    body = parsed(file).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            raise NearfarError(f"{file}: defines no {'.'.join(names)}; see CONTRIBUTING.md")
        body = found[0].body
    arguments = found[0].args
    return {a.arg for a in arguments.kwonlyargs or arguments.args} - SET_BY_JOBS


def _check_weights(key, weights, core):
    total = sum(weights.values())
    if set(weights) & set(core):
        raise NearfarError(f"{key}: {', '.join(core)} share what the others leave (Eq. 1); take them out")
    if total > 1 + 1e-9:
        raise NearfarError(f"{key}: sum to {total:g}; they may sum to 1 at most")


def _refuse_unknown(key, name, known, kind):
    if name not in known:
        raise NearfarError(f"{key}: unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
