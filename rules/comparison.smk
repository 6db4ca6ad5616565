# What the figures are worth: intervals and paired differences, parts taken out, weights chosen on labels.

STATISTICS = config["statistics"]
COMPARED = [
    name
    for name in STATISTICS["systems"] or config["systems"]
    if name in config["systems"]
]


rule compare:
    input:
        clips=of_machines("clips/test/{machine}.parquet"),
        scores=lambda w: [
            results(f"{system}/scores/{machine}.parquet")
            for system in COMPARED
            for machine in MACHINES
        ],
    output:
        table=results("compare.csv"),
        page=report(
            results("compare.md"),
            caption="../workflow/report/compare.rst",
            category="Comparison",
            labels={"what": "intervals and paired differences"},
        ),
    log:
        results("logs/compare.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        systems=COMPARED,
        machines=MACHINES,
        seed=config["seed"],
        resamples=STATISTICS["resamples"],
        sources=sources("workflow/scripts/comparison/compare.py"),
    script:
        "../workflow/scripts/comparison/compare.py"


# The system that is taken apart, unless one microphone cannot serve it.
if STATISTICS["taken_apart"] in config["systems"]:

    GIVEN = config["systems"][STATISTICS["taken_apart"]]["weights"]

    rule ablation:
        input:
            clips=of_machines("clips/test/{machine}.parquet"),
            normalized=lambda w: normalized_scores(config["detectors"]),
        output:
            results("ablation.csv"),
        log:
            results("logs/ablation.log"),
        conda:
            "../envs/nearfar.yaml"
        params:
            variants={
                "systems": {
                    name: about.get("weights")
                    for name, about in config["systems"].items()
                },
                "core": config["core"],
                "detectors": {
                    name: about.get("other_form_of")
                    for name, about in config["detectors"].items()
                },
                "taken_apart": STATISTICS["taken_apart"],
            },
            machines=MACHINES,
            seed=config["seed"],
            resamples=STATISTICS["resamples"],
            sources=sources("workflow/scripts/comparison/ablation.py"),
        script:
            "../workflow/scripts/comparison/ablation.py"

    rule weight_choice:
        input:
            clips=of_machines("clips/test/{machine}.parquet"),
            normalized=lambda w: normalized_scores([*config["core"], *sorted(GIVEN)]),
        output:
            results("weights.csv"),
        log:
            results("logs/weight_choice.log"),
        conda:
            "../envs/nearfar.yaml"
        params:
            given=GIVEN,
            core=config["core"],
            machines=MACHINES,
            detectors=[*config["core"], *sorted(GIVEN)],
            steps=STATISTICS["weight_steps"],
            seed=config["seed"],
            resamples=STATISTICS["resamples"],
            sources=sources("workflow/scripts/comparison/weight_choice.py"),
        script:
            "../workflow/scripts/comparison/weight_choice.py"
