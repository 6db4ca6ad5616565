# The LoRA adapter: one universal model, trained on the normal training clips of all training machines.

# null: the frozen backbone is the model
ADAPTER = config["features"]["eat"]["adapter"] or {}


rule adapter_inputs:
    input:
        clips=results("clips/train/{machine}.parquet"),
    output:
        results("features/inputs/{machine}.npy"),
    log:
        results("logs/adapter_inputs/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        channels=ADAPTER.get("channels", ["near"]),
        sources=sources("workflow/scripts/adapter/adapter_inputs.py"),
    script:
        "../workflow/scripts/adapter/adapter_inputs.py"


# The state of an unfinished training is no output: Snakemake deletes those of a job that fails.
rule adapter:
    input:
        backbone=rules.backbone.output,
        clips=of_machines("clips/train/{machine}.parquet", TRAINING_MACHINES),
        classes=of_machines("classes/{machine}.parquet", TRAINING_MACHINES),
        inputs=of_machines("features/inputs/{machine}.npy", TRAINING_MACHINES),
    output:
        config=results("models/eat/config.json"),
        model=results("models/eat/model.safetensors"),
        adapter_config=results("models/eat/adapter/adapter_config.json"),
        adapter=results("models/eat/adapter/adapter_model.safetensors"),
        log=results("models/eat/training.parquet"),
    log:
        results("logs/adapter.log"),
    benchmark:
        results("benchmarks/adapter.tsv")
    conda:
        "../envs/nearfar.yaml"
    threads: ADAPTER.get("threads", 1)
    resources:
        gpu=GPU,
    params:
        settings={key: value for key, value in ADAPTER.items() if key != "channels"}
        | {key: config["features"]["eat"][key] for key in ("pooling", "layers")},
        seed=config["seed"],
        device=config["device"],
        state=results("models/eat/state.pt"),
        sources=sources("workflow/scripts/adapter/adapter.py"),
    script:
        "../workflow/scripts/adapter/adapter.py"


rule adapter_probe:
    input:
        train=of_machines("clips/train/{machine}.parquet"),
        test=of_machines("clips/test/{machine}.parquet"),
        frozen_train=of_machines("features/frozen/train/{machine}.parquet"),
        frozen_test=of_machines("features/frozen/test/{machine}.parquet"),
        adapted=of_machines("features/eat/near/{machine}.parquet"),
        training=rules.adapter.output.log,
    output:
        table=results("models/eat/probe.csv"),
        figure=results("models/eat/training.png"),
    log:
        results("logs/adapter_probe.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        sources=sources("workflow/scripts/adapter/adapter_probe.py"),
    script:
        "../workflow/scripts/adapter/adapter_probe.py"
