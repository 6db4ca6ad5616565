# From clips to views: a vector a clip, for each feature and channel.


rule feature:
    input:
        clips=results("clips/{machine}.parquet"),
        sources=lambda w: sources("feature.py", f"nearfar/features/{w.feature}.py"),
    output:
        results("features/{feature}/{channel}/{machine}.parquet"),
    log:
        results("logs/feature/{feature}_{channel}_{machine}.log"),
    wildcard_constraints:
        feature=names(PLAIN_FEATURES),
    conda:
        "../envs/nearfar.yaml"
    params:
        params=lambda w: config["features"][w.feature]["params"],
    script:
        "../workflow/scripts/feature.py"


rule backbone:
    input:
        files=local_backbone(config["features"]["eat"]["backbone"]["name"]),
        sources=sources("backbone.py"),
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
        "../workflow/scripts/backbone.py"


rule frozen:
    input:
        clips=results("clips/{machine}.parquet"),
        model=rules.backbone.output,
        sources=sources("embedding.py"),
    output:
        near=results("features/frozen/near/{machine}.parquet"),
    log:
        results("logs/frozen/{machine}.log"),
    benchmark:
        results("benchmarks/frozen/{machine}.tsv")
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
        "../workflow/scripts/embedding.py"


rule eat:
    input:
        clips=results("clips/{machine}.parquet"),
        model=eat_model(),
        sources=sources("embedding.py"),
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
        "../workflow/scripts/embedding.py"


# clusters are of the frozen backbone: the adapter is trained on them
CLASSES_FROM = results(
    "features/frozen/near/{machine}.parquet"
    if config["features"]["eat"]["adapter"]
    else "features/eat/near/{machine}.parquet"
)


rule classes:
    input:
        clips=results("clips/{machine}.parquet"),
        embeddings=CLASSES_FROM,
        sources=sources("classes.py"),
    output:
        results("classes/{machine}.parquet"),
    log:
        results("logs/classes/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        pseudo=config["training"]["pseudo_attributes"],
    script:
        "../workflow/scripts/classes.py"


rule class_plot:
    input:
        clips=results("clips/{machine}.parquet"),
        embeddings=CLASSES_FROM,
        classes=rules.classes.output,
        sources=sources("class_plot.py"),
    output:
        table=results("classes/{machine}.csv"),
        figure=results("classes/{machine}.png"),
    log:
        results("logs/class_plot/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    script:
        "../workflow/scripts/class_plot.py"


rule lccr_maps:
    input:
        clips=results("clips/{machine}.parquet"),
        sources=sources("lccr_maps.py"),
    output:
        results("features/lccr/maps/{machine}.npy"),
    log:
        results("logs/lccr_maps/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        maps=config["features"]["lccr"]["maps"],
    script:
        "../workflow/scripts/lccr_maps.py"


rule lccr_model:
    input:
        clips=expand(results("clips/{machine}.parquet"), machine=TRAINING_MACHINES),
        classes=expand(results("classes/{machine}.parquet"), machine=TRAINING_MACHINES),
        maps=expand(
            results("features/lccr/maps/{machine}.npy"), machine=TRAINING_MACHINES
        ),
        sources=sources("lccr_model.py"),
    output:
        model=results("models/lccr/model.safetensors"),
        log=results("models/lccr/training.parquet"),
    log:
        results("logs/lccr_model.log"),
    benchmark:
        results("benchmarks/lccr_model.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        maps=config["features"]["lccr"]["maps"],
        train=config["features"]["lccr"]["train"],
        seed=config["seed"],
        device=config["device"],
    script:
        "../workflow/scripts/lccr_model.py"


rule lccr:
    input:
        clips=results("clips/{machine}.parquet"),
        maps=results("features/lccr/maps/{machine}.npy"),
        model=rules.lccr_model.output.model,
        sources=sources("lccr.py"),
    output:
        results("features/lccr/pair/{machine}.parquet"),
    log:
        results("logs/lccr/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    script:
        "../workflow/scripts/lccr.py"
