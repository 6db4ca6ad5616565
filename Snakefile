from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config/submission.yaml"
configfile: f"{workflow.basedir}/config/pretraining.yaml"
configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/factory.smk"
include: "rules/data.smk"


if config["data"]["sets"]:

    include: "rules/challenge/download.smk"


include: "rules/features.smk"
include: "rules/backbones.smk"
include: "rules/learning.smk"
include: "rules/adapter.smk"
include: "rules/lccr.smk"
include: "rules/classifier.smk"
include: "rules/autoencoder.smk"
include: "rules/detectors.smk"
include: "rules/systems.smk"
include: "rules/export/common.smk"
include: "rules/export/export.smk"
include: "rules/comparison.smk"
include: "rules/report.smk"
include: "rules/challenge/common.smk"
include: "rules/challenge/submission.smk"
include: "rules/pretraining.smk"
include: "rules/jobs.smk"


rule all:
    default_target: True
    input:
        [
            results(
                f"{system}/{'eval' if any(map(labelled, MACHINES)) else 'ranking'}.csv"
            )
            for system in config["systems"]
        ],
        expand(results("classes/{machine}.png"), machine=TRAINING_MACHINES),
        [results("models/eat/probe.csv")]
        if config["features"]["eat"]["adapter"]
        else [],


refuse_unknown_targets()
print_results_when_idle()


onstart:
    stopping(files.refuse_unwritable, config["results"])
    announce_autoencoders()
    start_jobs_at_once()


onsuccess:
    print_results()
