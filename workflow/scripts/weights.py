from nearfar.job import job
from nearfar.weight_choice import write_weights

if __name__ == "__main__":
    with job(snakemake):
        write_weights(
            snakemake.params.given,
            snakemake.params.core,
            snakemake.params.machines,
            snakemake.input.clips,
            snakemake.params.detectors,
            snakemake.input.normalized,
            snakemake.output[0],
            steps=snakemake.params.steps,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
