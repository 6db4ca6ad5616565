from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_detectors
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        normalized = dict(zip(snakemake.params.detectors, tables["normalized"], strict=True))
        evaluate_detectors(*tables["clips"], normalized, snakemake.output[0], unscored=unscored)
