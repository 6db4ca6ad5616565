# From features to normalized scores, a detector and a machine at a time: one job, since most of them cost less than the
# start of another.


rule detect:
    input:
        clips=CLIPS,
        views=views,
    output:
        fits=update(results("fits/{detector}/{machine}.safetensors")),
        scores=results("scores/{detector}/{machine}.parquet"),
        normalized=results("normalized/{detector}/{machine}.parquet"),
    log:
        results("logs/detect/{detector}_{machine}.log"),
    benchmark:
        results("benchmarks/detect/{detector}_{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    params:
        method=lambda w: detector(w)["method"],
        params=lambda w: settings.parameters_of(config, w.detector),
        folds=folds,
        few=FEW_CLIPS,
        seed=config["seed"],
        normalization=lambda w: config["normalization"]
        | detector(w).get("normalization", {}),
        sources=lambda w: sources(
            "workflow/scripts/detectors/detect.py", method_file(w)
        ),
    script:
        "../workflow/scripts/detectors/detect.py"
