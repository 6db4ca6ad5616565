# The page to see and hear a system's results by: a job a machine, so that only what changed is heard again.


rule report_machine:
    input:
        train=results("clips/train/{machine}.parquet"),
        test=results("clips/test/{machine}.parquet"),
        scores=results("{system}/scores/{machine}.parquet"),
        training=results("{system}/training/{machine}.parquet"),
        normalized=lambda w: [
            results(f"normalized/{name}/{w.machine}.parquet") for name in members(w)
        ],
        signals=lambda w: (
            results(f"signals/{w.machine}.json") if residual_members(w) else []
        ),
    output:
        results("{system}/report/{machine}.json"),
    log:
        results("logs/report_machine/{system}_{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        members=members,
        system=fusion,
        decision=DECISION,
        worst_windows=config["decision"]["worst_windows"],
        channels=1 if DATA["far"] is None else 2,
        report=config["report"],
        seed=config["seed"],
        resamples=config["statistics"]["resamples"],
        sources=sources("workflow/scripts/report/report_machine.py"),
    script:
        "../workflow/scripts/report/report_machine.py"


# The rule is report_page, since Snakemake's own report( ) has the other name.
rule report_page:
    input:
        machines=of_machines("{system}/report/{machine}.json"),
    output:
        report(
            results("{system}/report.html"),
            caption="../workflow/report/report.rst",
            category="Systems",
            labels={"system": "{system}", "what": "to see and hear"},
        ),
    log:
        results("logs/report_page/{system}.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        machines=MACHINES,
        config=config,
        page=digest_of(
            sorted(Path(workflow.basedir, "src/nearfar/report/page").iterdir())
        ),
        sources=sources("workflow/scripts/report/report_page.py"),
    script:
        "../workflow/scripts/report/report_page.py"
