# From normalized scores to Ω, a system at a time.


# when a clip is an alarm
DECISION = {
    key: config["decision"][key] for key in ("percentile", "false_alarm", "fdr")
}


rule fuse:
    input:
        normalized=lambda w: [
            results(f"normalized/{name}/{w.machine}.parquet") for name in members(w)
        ],
        signals=lambda w: (
            results(f"signals/{w.machine}.json") if residual_members(w) else []
        ),
    output:
        scores=results("{system}/scores/{machine}.parquet"),
        training=results("{system}/training/{machine}.parquet"),
    log:
        results("logs/fuse/{system}_{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        members=members,
        system=fusion,
        decision=DECISION,
        sources=sources("workflow/scripts/systems/fuse.py"),
    script:
        "../workflow/scripts/systems/fuse.py"


rule evaluate:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=of_machines("{system}/scores/{machine}.parquet"),
    output:
        report(
            results("{system}/eval.csv"),
            caption="../workflow/report/eval.rst",
            category="Systems",
            labels={"system": "{system}", "what": "Ω by machine"},
        ),
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
        train=of_machines("clips/train/{machine}.parquet"),
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=of_machines("{system}/scores/{machine}.parquet"),
        training=of_machines("{system}/training/{machine}.parquet"),
        normalized=lambda w: normalized_scores(members(w)),
    output:
        report(
            results("{system}/ranking.csv"),
            caption="../workflow/report/ranking.rst",
            category="Systems",
            labels={"system": "{system}", "what": "clips to listen to"},
        ),
    log:
        results("logs/ranking/{system}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        members=members,
        decision=DECISION,
        worst_windows=config["decision"]["worst_windows"],
        sources=sources("workflow/scripts/systems/ranking.py"),
    script:
        "../workflow/scripts/systems/ranking.py"


rule timeline:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=of_machines("{system}/scores/{machine}.parquet"),
    output:
        results("{system}/timeline.csv"),
    log:
        results("logs/timeline/{system}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        sources=sources("workflow/scripts/systems/timeline.py"),
    script:
        "../workflow/scripts/systems/timeline.py"


rule detector_table:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        normalized=lambda w: normalized_scores(config["detectors"]),
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
