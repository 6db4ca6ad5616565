# LCCR, the learned cross-channel representation: maps of both channels, one universal network, a vector a clip.


rule lccr_maps:
    input:
        clips=results("clips/train/{machine}.parquet"),
    output:
        results("features/lccr/maps/{machine}.npy"),
    log:
        results("logs/lccr_maps/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        maps=config["features"]["lccr"]["maps"],
        sources=sources("workflow/scripts/lccr/lccr_maps.py"),
    script:
        "../workflow/scripts/lccr/lccr_maps.py"


rule lccr_model:
    input:
        clips=of_machines("clips/train/{machine}.parquet", TRAINING_MACHINES),
        classes=of_machines("classes/{machine}.parquet", TRAINING_MACHINES),
        maps=of_machines("features/lccr/maps/{machine}.npy", TRAINING_MACHINES),
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
        sources=sources("workflow/scripts/lccr/lccr_model.py"),
    script:
        "../workflow/scripts/lccr/lccr_model.py"


rule lccr:
    input:
        clips=CLIPS,
        model=rules.lccr_model.output.model,
    output:
        update(results("features/lccr/pair/{machine}.parquet")),
    log:
        results("logs/lccr/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        device=config["device"],
        sources=sources("workflow/scripts/lccr/lccr.py"),
    script:
        "../workflow/scripts/lccr/lccr.py"
