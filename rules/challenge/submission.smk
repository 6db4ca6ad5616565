# From the fused scores of up to four systems to one zip for the challenge.

# Told here in one line: to what an input function raises Snakemake adds a traceback.
if SUBMISSIONS.intersection(sys.argv[1:]):
    submitted_machines()
    technical_report()


rule submission:
    input:
        scores=submitted("{system}/scores/{machine}.parquet"),
        models=used_models,
        table=development_table,
    output:
        directory(results("{system}/submission")),
    log:
        results("logs/submission/{system}.log"),
    wildcard_constraints:
        system=any_of(SUBMITTED),
    conda:
        "../../envs/nearfar.yaml"
    params:
        machines=submitted_machines,
        system=lambda w: w.system,
        about=config["submission"],
        description=description,
        sources=sources("workflow/scripts/challenge/submission.py"),
    script:
        "../../workflow/scripts/challenge/submission.py"


rule submission_zip:
    input:
        systems=[results(f"{system}/submission") for system in SUBMITTED],
        report=lambda w: technical_report(),
    output:
        results("submission.zip"),
    log:
        results("logs/submission_zip.log"),
    conda:
        "../../envs/nearfar.yaml"
    params:
        label=config["submission"]["label"],
        sources=sources("workflow/scripts/challenge/submission_zip.py"),
    script:
        "../../workflow/scripts/challenge/submission_zip.py"
