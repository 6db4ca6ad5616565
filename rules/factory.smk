# The simulated data set, used where no folder of clips is given.


rule factory:
    output:
        directory(results("factory/{machine}")),
    log:
        results("logs/factory/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        **{
            key: config["factory"][key]
            for key in (
                "seconds",
                "train_source",
                "train_target",
                "test",
                "noise_sources",
            )
        },
        seed=config["seed"],
        sources=sources("workflow/scripts/factory/factory.py"),
    script:
        "../workflow/scripts/factory/factory.py"
