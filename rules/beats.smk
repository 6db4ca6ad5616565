# BEATs, a second backbone: there where the configuration has features.beats.
BEATS = config["features"]["beats"]


rule beats_backbone:
    input:
        files=local_backbone(BEATS["backbone"]["name"]),
        sources=sources("workflow/scripts/backbones/backbone.py"),
    output:
        results("models/beats/config.json"),
        results("models/beats/model.safetensors"),
    log:
        results("logs/beats_backbone.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        **BEATS["backbone"],
        seed=config["seed"],
    script:
        "../workflow/scripts/backbones/backbone.py"


rule beats:
    input:
        clips=results("clips/{machine}.parquet"),
        model=rules.beats_backbone.output,
        sources=sources("workflow/scripts/backbones/embed.py"),
    output:
        **{
            channel: results("features/beats/%s/{machine}.parquet" % channel)
            for channel in BEATS["channels"]
        },
    log:
        results("logs/beats/{machine}.log"),
    benchmark:
        results("benchmarks/beats/{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        **{key: BEATS[key] for key in ("pooling", "layers", "batch", "precision")},
        device=config["device"],
    script:
        "../workflow/scripts/backbones/embed.py"
