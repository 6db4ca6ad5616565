from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_detectors

if __name__ == "__main__":
    with logged(snakemake):
        evaluate_detectors(
            snakemake.params.detectors,
            snakemake.params.machines,
            snakemake.input.clips,
            snakemake.input.normalized,
            snakemake.output[0],
        )
