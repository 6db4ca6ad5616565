from nearfar.comparison.weight_choice import write_weights
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
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
