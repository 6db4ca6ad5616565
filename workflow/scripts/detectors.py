from nearfar.evaluation import evaluate_detectors
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        evaluate_detectors(
            snakemake.params.detectors,
            snakemake.params.machines,
            snakemake.input.clips,
            snakemake.input.normalized,
            snakemake.output[0],
        )
