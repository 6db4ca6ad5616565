import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from nearfar.challenge import sets as challenge
from nearfar.data import dataset, tables
from nearfar import settings
from nearfar.errors import NearfarError
from nearfar.jobs import files, runs
from nearfar.jobs.digests import digest_of
from nearfar.jobs.lines import Lines
from nearfar.jobs.provenance import (
    local_backbone,
    prefer_this_clone,
    sources_digest,
)

from nearfar.systems.weights import members_of, weights_of

prefer_this_clone()


def stopping(function, *arguments):
    """Call a function of nearfar; end the workflow in one line where the user has something to mend."""
    try:
        return function(*arguments)
    except NearfarError as error:
        raise WorkflowError(f"nearfar: {error}") from None


def show_a_line_a_job():
    """Put our lines in the place of Snakemake's words, but for a dry run and --verbose; its log file has them all."""
    asked = workflow.output_settings
    if asked.verbose or asked.dryrun:
        return
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler":  # Snakemake's (9.27)
            logger.removeHandler(handler)
            logger.addHandler(Lines(handler))


if workflow.is_main_process:
    show_a_line_a_job()
    stopping(runs.register)
stopping(runs.reach_python)
for path in workflow.configfiles:
    stopping(settings.refuse_repeated_keys, path)
# faster, where PyYAML was built with libyaml
FAST_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
with open(Path(workflow.basedir) / "config/schema.yaml", encoding="utf-8") as file:
    stopping(settings.check, config, yaml.load(file, FAST_YAML))

GPU = int(config["device"] != "cpu")
DATA = config["data"]
OWN = dataset.is_own(DATA)
FEW_CLIPS = "cap" if dataset.caps(DATA) else "refuse"
SIMULATED = DATA["root"] is None and not OWN
# what a system hears that one microphone does not record, by the systems that so cannot be
DEAF = settings.keep_near(config) if DATA["far"] is None else {}


def results(path):
    """Return a path below the results folder."""
    return str(Path(config["results"], path))


def machine_folders():
    """Return a dict from every machine there is to its folder."""
    if SIMULATED:
        return {
            machine: results(f"factory/{machine}")
            for machine in config["factory"]["machines"]
        }
    if OWN:
        return {machine: "" for machine in ENTRIES}
    root, sets = DATA["root"], DATA["sets"]
    if sets and workflow.is_main_process and "download" not in sys.argv[1:]:
        challenge.refuse_absent(root, sets)
    found = challenge.folders(root, sets) if sets else dataset.folders(root)
    # our clip tables lie in train/ and test/, too, and results may lie among the data
    ours = Path(results("clips")).absolute()
    return {
        machine: str(folder)
        for machine, folder in found.items()
        if folder.absolute() != ours
    }


def fingerprint(machine, split):
    """Return what stands for the content of a machine's clips; those of the factory are a job's output."""
    if OWN:
        return tables.entries_fingerprint(ENTRIES[machine], split)
    return "" if SIMULATED else dataset.fingerprint(FOLDERS[machine], split)


ENTRIES = stopping(tables.entries_of, DATA) if OWN else {}
FOLDERS = stopping(machine_folders)
MACHINES = stopping(
    settings.check_machines, "data.machines", config["data"]["machines"], FOLDERS
)
TRAINING_MACHINES = stopping(
    settings.check_machines,
    "training.machines",
    config["training"]["machines"],
    FOLDERS,
)
CLIPS = [results(f"clips/{split}/{{machine}}.parquet") for split in dataset.SPLITS]
stopping(settings.refuse_deaf, DEAF, config, sys.argv[1:])
PLAIN_FEATURES = [name for name in config["features"] if name not in settings.LEARNED]


def labelled(machine):
    """Return whether a machine has test clips whose labels are known."""
    if OWN:
        return any(e.label for e in tables.of_split(ENTRIES[machine], "test"))
    return SIMULATED or dataset.labelled(FOLDERS[machine])


def any_of(values):
    """Return a wildcard constraint that admits these names only."""
    return "|".join(map(re.escape, values)) or "$."


wildcard_constraints:
    # any: a pattern of a thousand names is read anew for each file of each job; `known` has the names
    machine="[^/]+",
    detector=any_of(config["detectors"]),
    system=any_of(config["systems"]),
    channel="near|far|residual|pair",
    split=any_of(dataset.SPLITS),
    feature=any_of(config["features"]),


def sources(*scripts):
    """Return what stands for the source files that a job with these scripts runs, a parameter of it."""
    return stopping(sources_digest, *scripts)


def detector(wildcards):
    """Return the settings of a detector."""
    return config["detectors"][wildcards.detector]


def method_file(wildcards):
    """Return the file of a detector's method, relative to the repository."""
    return f"src/nearfar/detectors/methods/{detector(wildcards)['method']}.py"


def folds(wildcards):
    """Return the number of folds of a detector."""
    return detector(wildcards).get("folds", config["folds"])


def views(wildcards):
    """Return the feature files that a detector sees on a machine."""
    return [
        results(f"features/{view}/{wildcards.machine}.parquet")
        for view in detector(wildcards)["views"]
    ]


def members(wildcards):
    """Return the detectors that count in a system, sorted."""
    return members_of(config["systems"][wildcards.system], config["core"])


def residual_members(wildcards):
    """Return the members of a system of families that hear the residual, which needs a far microphone that is far."""
    if "families" not in config["systems"][wildcards.system]:
        return []
    views = {name: config["detectors"][name]["views"] for name in members(wildcards)}
    return [
        name
        for name, seen in views.items()
        if "residual" in [Path(view).name for view in seen]
    ]


def fusion(wildcards):
    """Return how a system fuses: by weights (Eq. 1) and ranks, or by families."""
    about = config["systems"][wildcards.system]
    if "families" in about:
        return about | {"residual": residual_members(wildcards)}
    weights = weights_of(about["weights"], config["core"])
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    return {"weights": weights, "ranks": about.get("ranks", config["ranks"])}


def of_machines(path, machines=MACHINES):
    """Return an input function for a path's file of every machine; rules that are not asked for never call it."""
    return lambda w: [
        results(path.format(machine=machine, **dict(w.items()))) for machine in machines
    ]


def normalized_scores(detectors):
    """Return the normalized scores of detectors, all machines of the first, then all of the second, and so on."""
    return [
        results(f"normalized/{name}/{machine}.parquet")
        for name in detectors
        for machine in MACHINES
    ]
