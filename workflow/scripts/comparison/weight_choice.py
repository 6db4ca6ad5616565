from nearfar.comparison.weight_choice import write_weights
from nearfar.jobs.job import logged
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        write_weights(
            snakemake.params.given,
            snakemake.params.core,
            *tables["clips"],
            dict(zip(snakemake.params.detectors, tables["normalized"], strict=True)),
            snakemake.output[0],
            steps=snakemake.params.steps,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
            unscored=unscored,
        )
