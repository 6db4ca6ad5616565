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


# What embeds, by its rule's name: family, model, channels of each folder below features, one of them pooled by mel row.
# The adapter's probe needs embed_frozen.
EMBEDDINGS = {
    family: (family, embedder(family), views_of(family, config["features"][family]))
    for family in BACKBONES
} | {"embed_frozen": ("eat", backbone("eat"), {"frozen": ["near"]})}


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


for rule_name, (family, model, folders) in EMBEDDINGS.items():

    rule:
        name:
            rule_name
        input:
            clips=results("clips/{machine}.parquet"),
            model=model,
        output:
            **{
                ("bands_" if folder.endswith(BANDS) else "")
                + channel: results(f"features/{folder}/{channel}/{{machine}}.parquet")
                for folder, channels in folders.items()
                for channel in channels
            },
        log:
            results(f"logs/{rule_name}/{{machine}}.log"),
        benchmark:
            results(f"benchmarks/{rule_name}/{{machine}}.tsv")
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
