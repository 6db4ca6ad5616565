# What the submission takes from the other stages.

SUBMITTED = config["submission"]["systems"]
SUBMISSIONS = {results("submission.zip")} | {
    results(f"{system}/submission") for system in SUBMITTED
}


def submitted_machines(wildcards=None):
    """Return the machines of the submission; checked only where it is asked for."""
    wanted = config["submission"]["machines"]
    return stopping(settings.check_machines, "submission.machines", wanted, MACHINES)


def submitted(path):
    """Return an input function for a path's file of every submitted machine."""
    return lambda w: [
        results(path.format(machine=machine, system=w.system))
        for machine in submitted_machines()
    ]


def used_detectors(wildcards):
    """Return the settings of the detectors that have a weight in a system."""
    return {name: config["detectors"][name] for name in members(wildcards)}


def used_models(wildcards):
    """Return the weights of the networks that embed for a system, and its fits on the submitted machines."""
    machines, used = submitted_machines(), used_detectors(wildcards)
    known = {family: [embedder(family)[1]] for family in BACKBONES}
    known["lccr"] = [results("models/lccr/model.safetensors")]
    known["classifier"] = [
        results(f"models/{view.parent}/{view.name}/{fold}.safetensors")
        for view in sorted({Path(v) for one in used.values() for v in one["views"]})
        if view.parent.name == "classifier"
        for fold in range(config["features"]["classifier"]["folds"])
    ]
    known["autoencoder"] = [
        results(f"models/autoencoder/{machine}.safetensors") for machine in machines
    ]
    seen = {Path(view).parent.name for one in used.values() for view in one["views"]}
    fits = [
        results(f"fits/{name}/{machine}.safetensors")
        for name in used
        for machine in machines
    ]
    return [path for name in sorted(seen & known.keys()) for path in known[name]] + fits


def development_table(wildcards):
    """Return a system's table of Ω, or nothing where no scored machine has labelled test clips."""
    if any(map(labelled, MACHINES)):
        return results(f"{wildcards.system}/eval.csv")
    return []


def description(wildcards):
    """Return what the configuration tells of a system, in the words of the challenge's metadata."""
    from nearfar.challenge.metadata import describe

    combine = config["systems"][wildcards.system].get("combine")
    return describe(used_detectors(wildcards), config["features"], combine)


def technical_report():
    """Return the technical report, where there is one."""
    path = config["submission"]["report"]
    if path and not Path(path).is_file():
        raise WorkflowError(
            f"nearfar: submission.report: no file {path}; give the pdf's path, or null to leave it out"
        )
    return path or []
