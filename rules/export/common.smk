# What a system's exported file takes from the other stages.


def seen(wildcards):
    """Return the views that a system's members see, sorted."""
    return sorted(
        {
            view
            for name in members(wildcards)
            for view in config["detectors"][name]["views"]
        }
    )


def learned(wildcards):
    """Return the files of the members' fits and of the networks behind their views, by their names in the exported."""
    found = {
        f"machines/{machine}/{name}.safetensors": results(
            f"fits/{name}/{machine}.safetensors"
        )
        for name in members(wildcards)
        for machine in MACHINES
    }
    for feature, channel in (view.split("/") for view in seen(wildcards)):
        family = feature.removesuffix(BANDS)
        if family in BACKBONES:
            for path in embedder(family):
                found[f"networks/{family}/{Path(path).name}"] = path
        elif feature == "classifier":
            for fold in range(CLASSIFIER["folds"]):
                path = f"classifier/{channel}/{fold}.safetensors"
                found[f"networks/{path}"] = results(f"models/{path}")
        elif feature == "lccr":
            found["networks/lccr.safetensors"] = rules.lccr_model.output.model
        elif feature == "autoencoder":
            for machine in MACHINES:
                name = f"machines/{machine}/networks/autoencoder.safetensors"
                found[name] = results(f"models/autoencoder/{machine}.safetensors")
    return found


def exported(wildcards):
    """Return what the file says of a system beside what was learned."""
    features = {view.split("/")[0].removesuffix(BANDS) for view in seen(wildcards)}
    return {
        "system": wildcards.system,
        "fusion": fusion(wildcards),
        # false discoveries are those of a batch, and a clip is scored by itself
        "decision": {key: DECISION[key] for key in ("percentile", "false_alarm")},
        "detectors": {
            name: {
                "views": config["detectors"][name]["views"],
                "normalization": config["normalization"]
                | config["detectors"][name].get("normalization", {}),
            }
            for name in members(wildcards)
        },
        "features": {
            name: (
                {
                    key: config["features"][name][key]
                    for key in ("pooling", "layers", "precision", "folds")
                    if key in config["features"][name]
                }
                if name in settings.LEARNED
                else config["features"][name]
            )
            for name in sorted(features)
        },
        "data": {key: DATA[key] for key in ("near", "far", "window", "hop")},
    }
