# From features to normalized scores, a detector and a machine at a time.


rule fit:
    input:
        clips=results("clips/{machine}.parquet"),
        views=views,
        sources=lambda w: sources("fit.py", method_file(w)),
    output:
        results("fits/{detector}/{machine}.safetensors"),
    log:
        results("logs/fit/{detector}_{machine}.log"),
    benchmark:
        results("benchmarks/fit/{detector}_{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    params:
        method=lambda w: detector(w)["method"],
        params=lambda w: detector(w).get("params", {}),
        folds=folds,
        seed=config["seed"],
    script:
        "../workflow/scripts/fit.py"


rule score:
    input:
        clips=results("clips/{machine}.parquet"),
        views=views,
        fits=results("fits/{detector}/{machine}.safetensors"),
        sources=lambda w: sources("score.py", method_file(w)),
    output:
        scores=results("scores/{detector}/{machine}.parquet"),
        normalized=results("normalized/{detector}/{machine}.parquet"),
    log:
        results("logs/score/{detector}_{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        folds=folds,
        seed=config["seed"],
        normalization=lambda w: config["normalization"]
        | detector(w).get("normalization", {}),
    script:
        "../workflow/scripts/score.py"
