rule backbone:
    input:
        files=local_backbone(config["features"]["eat"]["backbone"]["name"]),
        sources=sources("workflow/scripts/backbones/backbone.py"),
    output:
        results("models/backbone/config.json"),
        results("models/backbone/model.safetensors"),
    log:
        results("logs/backbone.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        **config["features"]["eat"]["backbone"],
        seed=config["seed"],
    script:
        "../workflow/scripts/backbones/backbone.py"


rule embed_frozen:
    input:
        clips=results("clips/{machine}.parquet"),
        model=rules.backbone.output,
        sources=sources("workflow/scripts/backbones/embed.py"),
    output:
        near=results("features/frozen/near/{machine}.parquet"),
    log:
        results("logs/embed_frozen/{machine}.log"),
    benchmark:
        results("benchmarks/embed_frozen/{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        **{
            key: config["features"]["eat"][key]
            for key in ("pooling", "layers", "batch", "precision")
        },
        device=config["device"],
    script:
        "../workflow/scripts/backbones/embed.py"


rule eat:
    input:
        clips=results("clips/{machine}.parquet"),
        model=eat_model(),
        sources=sources("workflow/scripts/backbones/embed.py"),
    output:
        **{
            channel: results("features/eat/%s/{machine}.parquet" % channel)
            for channel in config["features"]["eat"]["channels"]
        },
    log:
        results("logs/eat/{machine}.log"),
    benchmark:
        results("benchmarks/eat/{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        **{
            key: config["features"]["eat"][key]
            for key in ("pooling", "layers", "batch", "precision")
        },
        device=config["device"],
    script:
        "../workflow/scripts/backbones/embed.py"
