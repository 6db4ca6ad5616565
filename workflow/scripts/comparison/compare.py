from nearfar.comparison.compare import compare_systems
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
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
