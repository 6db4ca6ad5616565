# A system as one file that scores without the workflow: `snakemake --cores 2 results/system5/model.nearfar`, then
# `nearfar export`.


rule export:
    input:
        clips=of_machines("clips/train/{machine}.parquet"),
        members=lambda w: list(learned(w).values()),
        signals=lambda w: (
            of_machines("signals/{machine}.json")(w) if residual_members(w) else []
        ),
    output:
        results("{system}/model.nearfar"),
    log:
        results("logs/export/{system}.log"),
    localrule: True
    conda:
        "../../envs/nearfar.yaml"
    params:
        about=exported,
        machines=MACHINES,
        members=lambda w: list(learned(w)),
        sources=sources("workflow/scripts/export/export.py"),
    script:
        "../../workflow/scripts/export/export.py"
