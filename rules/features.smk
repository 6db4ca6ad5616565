# Features without training, one file of ours each: a vector a clip.


rule feature:
    input:
        clips=CLIPS,
    output:
        update(results("features/{feature}/{channel}/{machine}.parquet")),
    log:
        results("logs/feature/{feature}_{channel}_{machine}.log"),
    wildcard_constraints:
        feature=any_of(PLAIN_FEATURES),
    conda:
        "../envs/nearfar.yaml"
    params:
        params=lambda w: config["features"][w.feature],
        sources=lambda w: sources(
            "workflow/scripts/features/feature.py",
            f"src/nearfar/features/{w.feature}.py",
        ),
    script:
        "../workflow/scripts/features/feature.py"
