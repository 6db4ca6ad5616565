# The classes that everything learned is trained on.

# Clusters are of the frozen backbone, since the adapter is trained on them, and of the training clips alone.
CLASSES_FROM = results("features/frozen/train/{machine}.parquet")


rule classes:
    input:
        clips=results("clips/train/{machine}.parquet"),
        embeddings=CLASSES_FROM,
    output:
        results("classes/{machine}.parquet"),
    log:
        results("logs/classes/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        pseudo=config["training"]["pseudo_attributes"],
        clusters=config["training"]["clusters"],
        sources=sources("workflow/scripts/learning/classes.py"),
    script:
        "../workflow/scripts/learning/classes.py"


rule class_plot:
    input:
        clips=results("clips/train/{machine}.parquet"),
        embeddings=CLASSES_FROM,
        classes=rules.classes.output,
    output:
        table=results("classes/{machine}.csv"),
        figure=report(
            results("classes/{machine}.png"),
            caption="../workflow/report/classes.rst",
            category="Training classes",
            labels={"machine": "{machine}"},
        ),
    log:
        results("logs/class_plot/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        components=config["training"]["clusters"]["components"],
        sources=sources("workflow/scripts/learning/class_plot.py"),
    script:
        "../workflow/scripts/learning/class_plot.py"
