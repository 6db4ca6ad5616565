from nearfar.comparison import compare_systems
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        compare_systems(
            snakemake.params.systems,
            snakemake.params.machines,
            snakemake.input.clips,
            snakemake.input.scores,
            snakemake.output.table,
            snakemake.output.page,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
