# The official baseline: an autoencoder a machine, and what it leaves of each clip.

AUTOENCODER = config["features"]["autoencoder"]


rule autoencoder_model:
    input:
        clips=results("clips/train/{machine}.parquet"),
    output:
        model=results("models/autoencoder/{machine}.safetensors"),
        log=results("models/autoencoder/{machine}.parquet"),
    log:
        results("logs/autoencoder_model/{machine}.log"),
    benchmark:
        results("benchmarks/autoencoder_model/{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        settings={
            key: AUTOENCODER[key] for key in ("epochs", "batch", "lr", "held_out")
        },
        singular=AUTOENCODER["singular"],
        few=FEW_CLIPS,
        seed=config["seed"],
        device=config["device"],
        sources=sources("workflow/scripts/autoencoder/autoencoder_model.py"),
    script:
        "../workflow/scripts/autoencoder/autoencoder_model.py"


rule autoencoder:
    input:
        clips=CLIPS,
        model=rules.autoencoder_model.output.model,
    output:
        update(results("features/autoencoder/near/{machine}.parquet")),
    log:
        results("logs/autoencoder/{machine}.log"),
    benchmark:
        results("benchmarks/autoencoder/{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        device=config["device"],
        sources=sources("workflow/scripts/autoencoder/autoencoder.py"),
    script:
        "../workflow/scripts/autoencoder/autoencoder.py"
