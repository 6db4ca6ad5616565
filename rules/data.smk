# From a folder of clips, or from nothing, to the clip tables.


rule factory:
    input:
        sources=sources("factory.py"),
    output:
        directory(results("factory/{machine}")),
    log:
        results("logs/factory/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        **{
            key: config["factory"][key]
            for key in ("seconds", "train_source", "train_target", "test")
        },
        seed=config["seed"],
    script:
        "../workflow/scripts/factory.py"


rule clips:
    input:
        folder=lambda w: FOLDERS[w.machine] if SIMULATED else [],
        sources=sources("clips.py"),
    output:
        results("clips/{machine}.parquet"),
    log:
        results("logs/clips/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        folder=lambda w: FOLDERS[w.machine],
        fingerprint=lambda w: (
            "" if SIMULATED else dataset.fingerprint(FOLDERS[w.machine])
        ),
    script:
        "../workflow/scripts/clips.py"
