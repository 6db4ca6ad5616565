"""The metadata of a submitted system, <label>.meta.yaml: how it is made, and what it must hold.

The shape is that of the challenge's files of earlier years. Used while the workflow is parsed: no heavy import.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from nearfar.backbones.families import BANDS, FAMILIES
from nearfar.data.documents import parse_yaml
from nearfar.errors import NearfarError, one_line

TEXT = {"type": "string", "minLength": 1}
AFFILIATION = {"type": "object", "required": ["institution", "location"], "description": "institution and location"}
AUTHOR = {
    "type": "object",
    "description": "lastname, firstname, email and affiliation",
    "required": ["lastname", "firstname", "email", "affiliation"],
    "properties": {
        "lastname": TEXT | {"description": "a name"},
        "firstname": TEXT | {"description": "a name"},
        "email": {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+$", "description": "an address for letters"},
        "affiliation": AFFILIATION,
    },
}
CORRESPONDING = {"type": "object", "required": ["corresponding"], "properties": {"corresponding": {"const": True}}}
SUBMISSION = {
    "type": "object",
    "description": "label, name, abbreviation and authors",
    "required": ["label", "name", "abbreviation", "authors"],
    "properties": {
        "label": TEXT | {"description": "the folder's name"},
        "name": TEXT | {"description": "a name"},
        "abbreviation": TEXT | {"maxLength": 10, "description": "at most 10 characters"},
        "authors": {
            "type": "array",
            "description": "a list of authors, one of them with corresponding: true",
            "minItems": 1,
            "items": AUTHOR,
            "contains": CORRESPONDING,
            "maxContains": 1,
        },
    },
}
PARAMETERS = {"type": "integer", "minimum": 0, "description": "the number of parameters"}
COMPLEXITY = {
    "type": "object",
    "description": "total_parameters",
    "required": ["total_parameters"],
    "properties": {"total_parameters": PARAMETERS},
}
PERCENT = {"type": ["number", "null"], "minimum": 0, "maximum": 100, "description": "a percentage"}
DEVELOPMENT = {
    "type": "object",
    "description": "a mapping from machine to its percentages",
    "additionalProperties": {
        "type": "object",
        "description": "percentages of a machine, such as auc_source",
        "additionalProperties": PERCENT,
    },
}
SCHEMA = {
    "type": "object",
    "description": "submission, system and, where there are any, results",
    "required": ["submission", "system"],
    "properties": {
        "submission": SUBMISSION,
        "system": {
            "type": "object",
            "description": "description and complexity",
            "required": ["description", "complexity"],
            "properties": {
                "description": {"type": "object", "description": "what the system is made of"},
                "complexity": COMPLEXITY,
            },
        },
        "results": {
            "type": "object",
            "description": "development_dataset",
            "required": ["development_dataset"],
            "properties": {"development_dataset": DEVELOPMENT},
        },
    },
}


def describe(detectors: dict[str, dict], features: dict[str, dict], combine: str | None = None) -> dict:
    """Return what the configuration tells of a system, a dict in the challenge's words.

    detectors: dict from name to settings of those that count; features: the configuration's ``features``; combine: how
    a system of families puts them together.
    """
    views = sorted({view for about in detectors.values() for view in about["views"]})
    used = {view.split("/")[0].removesuffix(BANDS) for view in views}
    several = len(detectors) > 1
    fusion = f"{combine} of families, by ranks among normal clips" if combine else "weighted mean of ranks"
    return {
        "input_sampling_rate": "16kHz",
        "data_augmentation": _listed(_augmentations(used)),
        "acoustic_features": _listed(views),
        "embeddings": _listed(_embeddings(used, features)),
        "machine_learning_method": _listed(sorted({about["method"] for about in detectors.values()})),
        "ensemble_method_subsystem_count": len(detectors) if several else None,
        "decision_making": fusion if several else None,
    }


def metadata(
    label: str, number: int, system: str, about: dict, description: dict, parameters: int, results: dict | None
) -> dict:
    """Return the metadata of a system as a dict; without ``results`` where these are None."""
    named = {
        "label": label,
        "name": f"{about['title']}, {system}",
        "abbreviation": f"{about['abbreviation']}{number}",
        "authors": [{**author, "corresponding": i == 0} for i, author in enumerate(about["authors"])],
    }
    made = {
        "description": {**description, **about["description"]},
        "complexity": {"total_parameters": parameters},
        "external_resources": about["external_resources"],
        "source_code": about["source_code"],
    }
    measured = {} if results is None else {"results": {"development_dataset": results}}
    return {"submission": named, "system": made} | measured


def as_yaml(meta: dict) -> str:
    """Return the YAML text of metadata, keys in their order."""
    unshared = json.loads(json.dumps(meta))  # what is shared would be written as an anchor and its alias
    return yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True, width=110)


def breaches(text: str, label: str) -> Iterator[str]:
    """Yield each breach of the metadata's form in a YAML text, the line first; its label must be ``label``."""
    from jsonschema import Draft202012Validator

    try:
        meta, node = parse_yaml(text)
    except NearfarError as error:
        yield str(error)
        return
    for error in Draft202012Validator(SCHEMA).iter_errors(meta):
        path = list(error.absolute_path)
        place, what = ".".join(map(str, path)) or "the file", one_line(error.message, 200)
        yield f"line {_line(node, path)}: {place}: {what}; give {error.schema['description']}"
    named = meta.get("submission") if isinstance(meta, dict) else None
    if isinstance(named, dict) and isinstance(named.get("label"), str) and named["label"] != label:
        line = _line(node, ["submission", "label"])
        yield f"line {line}: submission.label is {named['label']}, the folder is {label}; make them equal"


def _line(node, path):
    """Return the line of the key at a path, or of the last part of it that is found."""
    line = 1
    for step in path:
        if isinstance(node, yaml.SequenceNode):
            mark = node = node.value[step]
        else:
            mark, node = next((pair for pair in node.value if pair[0].value == str(step)), (None, None))
        if node is None:
            break
        line = mark.start_mark.line + 1
    return line


def _embeddings(used, features):
    for name in sorted(used & FAMILIES.keys()):
        source = features[name]["backbone"]["name"]
        source = Path(source).name if Path(source).exists() else source
        adapted = " with LoRA" if features[name].get("adapter") else ""
        yield f"{FAMILIES[name]} {source}{adapted}"
    if "lccr" in used:
        yield "LCCR"
    if "classifier" in used:
        yield "classifier of the training classes"


def _augmentations(used):
    if used & {"classifier", "lccr"}:
        yield "random crops"
    if "classifier" in used:
        yield "mixup"


def _listed(words):
    return ", ".join(words) or None
