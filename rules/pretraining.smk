# The small EAT that nearfar ships, from nothing: `snakemake --cores 1 pretraining`. No other rule needs its results.


rule pretraining_data:
    output:
        results("pretraining/inputs.npy"),
    log:
        results("logs/pretraining_data.log"),
    benchmark:
        results("benchmarks/pretraining_data.tsv")
    conda:
        "../envs/nearfar.yaml"
    params:
        **config["pretraining"]["data"],
        seed=config["seed"],
        sources=sources("workflow/scripts/pretraining/pretraining_data.py"),
    script:
        "../workflow/scripts/pretraining/pretraining_data.py"


rule pretraining:
    input:
        inputs=rules.pretraining_data.output[0],
    output:
        config=results("models/pretrained/config.json"),
        weights=results("models/pretrained/model.safetensors"),
        log=results("models/pretrained/training.parquet"),
        plot=results("models/pretrained/training.png"),
    log:
        results("logs/pretraining.log"),
    benchmark:
        results("benchmarks/pretraining.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        config=config["pretraining"]["config"],
        train=config["pretraining"]["train"],
        seed=config["seed"],
        device=config["device"],
        sources=sources("workflow/scripts/pretraining/pretraining.py"),
    script:
        "../workflow/scripts/pretraining/pretraining.py"
