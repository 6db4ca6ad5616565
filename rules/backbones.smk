# Backbones: what embeds clips, the same two rules for each family that the configuration lists under features.
# Loops, since `use rule` takes and makes no rule whose name is computed.

from nearfar.backbones.families import BANDS, FAMILIES, views_of

BACKBONES = [name for name in config["features"] if name in FAMILIES]


def model_files(folder):
    """Return config and weights in a folder of models."""
    return [
        results(f"models/{folder}/{name}")
        for name in ("config.json", "model.safetensors")
    ]


def backbone(family):
    """Return config and weights of a family's backbone as it came; models/eat is the adapted EAT."""
    return model_files("backbone" if family == "eat" else family)


def embedder(family):
    """Return config and weights of what embeds: the adapted backbone, or the backbone as it came."""
    adapted = config["features"][family].get("adapter")
    return model_files(family) if adapted else backbone(family)


def family_sources(script, family):
    """Return what stands for the sources of a script that runs a backbone of a family, which it imports by name."""
    return sources(
        f"workflow/scripts/backbones/{script}.py",
        f"src/nearfar/backbones/{family}.py",
    )


def embeddings(family):
    """Return the feature files that one pass over a machine's clips makes, by signal, bands_ before those by mel row."""
    return {
        ("bands_" if view.endswith(BANDS) else "")
        + channel: results(f"features/{view}/{channel}/{{machine}}.parquet")
        for view, channels in views_of(family, config["features"][family]).items()
        for channel in channels
    }


# What embeds, by its rule's name: family, model, clips and feature files. The clusters that stand in for attributes are
# of the frozen embeddings of training clips, which no test clip may renew.
EMBEDDINGS = {
    family: (family, embedder(family), CLIPS, embeddings(family))
    for family in BACKBONES
} | {
    "embed_frozen": (
        "eat",
        backbone("eat"),
        [results("clips/{split}/{machine}.parquet")],
        {"near": results("features/frozen/{split}/{machine}.parquet")},
    )
}


for family in BACKBONES:
    about = config["features"][family]["backbone"]
    rule_name = "backbone" if family == "eat" else f"{family}_backbone"

    rule:
        name:
            rule_name
        output:
            backbone(family),
        log:
            results(f"logs/{rule_name}.log"),
        localrule: True
        conda:
            "../envs/nearfar.yaml"
        params:
            **about,
            family=family,
            content=digest_of(local_backbone(about["name"])),
            seed=config["seed"],
            sources=family_sources("backbone", family),
        script:
            "../workflow/scripts/backbones/backbone.py"


for rule_name, (family, model, clips, embedded) in EMBEDDINGS.items():
    named = "{split}_{machine}" if rule_name == "embed_frozen" else "{machine}"

    rule:
        name:
            rule_name
        input:
            clips=clips,
            model=model,
        output:
            **{name: update(path) for name, path in embedded.items()},
        log:
            results(f"logs/{rule_name}/{named}.log"),
        benchmark:
            results(f"benchmarks/{rule_name}/{named}.tsv")
        conda:
            "../envs/nearfar.yaml"
        resources:
            gpu=GPU,
        params:
            **{
                key: config["features"][family][key]
                for key in ("pooling", "layers", "batch", "precision")
            },
            device=config["device"],
            sources=family_sources("embed", family),
        script:
            "../workflow/scripts/backbones/embed.py"
