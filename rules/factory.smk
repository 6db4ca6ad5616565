# The simulated data set, used where no folder of clips is given.


rule factory:
    output:
        directory(results("factory/{machine}")),
    log:
        results("logs/factory/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        **{key: value for key, value in config["factory"].items() if key != "machines"},
        seed=config["seed"],
        sources=sources("workflow/scripts/factory/factory.py"),
    script:
        "../workflow/scripts/factory/factory.py"
