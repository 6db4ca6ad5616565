# From normalized scores to Ω, a system at a time.


rule fuse:
    input:
        normalized=lambda w: [
            results(f"normalized/{name}/{w.machine}.parquet") for name in members(w)
        ],
        signals=lambda w: (
            results(f"signals/{w.machine}.json") if residual_members(w) else []
        ),
    output:
        results("{system}/scores/{machine}.parquet"),
    log:
        results("logs/fuse/{system}_{machine}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        members=members,
        system=fusion,
        percentile=config["decision"]["percentile"],
        sources=sources("workflow/scripts/systems/fuse.py"),
    script:
        "../workflow/scripts/systems/fuse.py"


rule evaluate:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=of_machines("{system}/scores/{machine}.parquet"),
    output:
        results("{system}/eval.csv"),
    log:
        results("logs/evaluate/{system}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        sources=sources("workflow/scripts/systems/evaluate.py"),
    script:
        "../workflow/scripts/systems/evaluate.py"


rule ranking:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=of_machines("{system}/scores/{machine}.parquet"),
    output:
        results("{system}/ranking.csv"),
    log:
        results("logs/ranking/{system}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        sources=sources("workflow/scripts/systems/ranking.py"),
    script:
        "../workflow/scripts/systems/ranking.py"


rule detector_table:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        normalized=normalized_scores(config["detectors"]),
    output:
        results("detectors.csv"),
    log:
        results("logs/detector_table.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        detectors=list(config["detectors"]),
        sources=sources("workflow/scripts/systems/detector_table.py"),
    script:
        "../workflow/scripts/systems/detector_table.py"
