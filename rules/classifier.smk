# The classifier: networks that tell the classes of all training machines apart, one a channel and fold, and a vector
# of each for every clip. The network of a fold has not seen the training clips of that fold.

CLASSIFIER = config["features"]["classifier"]


rule classifier_inputs:
    input:
        clips=results("clips/train/{machine}.parquet"),
    output:
        images=results("features/classifier/images/{channel}/{machine}.npy"),
        spectra=results("features/classifier/spectra/{channel}/{machine}.npy"),
    log:
        results("logs/classifier_inputs/{channel}_{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        inputs=CLASSIFIER["inputs"],
        sources=sources("workflow/scripts/classifier/classifier_inputs.py"),
    script:
        "../workflow/scripts/classifier/classifier_inputs.py"


# The state of an unfinished training is no output: Snakemake deletes those of a job that fails.
rule classifier_model:
    input:
        clips=of_machines("clips/train/{machine}.parquet", TRAINING_MACHINES),
        classes=of_machines("classes/{machine}.parquet", TRAINING_MACHINES),
        images=of_machines(
            "features/classifier/images/{channel}/{machine}.npy", TRAINING_MACHINES
        ),
        spectra=of_machines(
            "features/classifier/spectra/{channel}/{machine}.npy", TRAINING_MACHINES
        ),
    output:
        model=results("models/classifier/{channel}/{fold}.safetensors"),
        log=results("models/classifier/{channel}/{fold}.parquet"),
    log:
        results("logs/classifier_model/{channel}_{fold}.log"),
    benchmark:
        results("benchmarks/classifier_model/{channel}_{fold}.tsv")
    wildcard_constraints:
        fold="[0-9]+",
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        folds=CLASSIFIER["folds"],
        few=FEW_CLIPS,
        inputs=CLASSIFIER["inputs"],
        train=CLASSIFIER["train"],
        seed=config["seed"],
        device=config["device"],
        state=results("models/classifier/{channel}/{fold}.state.pt"),
        sources=sources("workflow/scripts/classifier/classifier_model.py"),
    script:
        "../workflow/scripts/classifier/classifier_model.py"


rule classifier:
    input:
        clips=CLIPS,
        models=expand(
            rules.classifier_model.output.model,
            fold=range(CLASSIFIER["folds"]),
            allow_missing=True,
        ),
    output:
        update(results("features/classifier/{channel}/{machine}.parquet")),
    log:
        results("logs/classifier/{channel}_{machine}.log"),
    benchmark:
        results("benchmarks/classifier/{channel}_{machine}.tsv")
    conda:
        "../envs/nearfar.yaml"
    resources:
        gpu=GPU,
    params:
        device=config["device"],
        sources=sources("workflow/scripts/classifier/classifier.py"),
    script:
        "../workflow/scripts/classifier/classifier.py"
