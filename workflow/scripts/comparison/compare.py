from nearfar.comparison.compare import compare_systems
from nearfar.jobs.job import logged
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        compare_systems(
            *tables["clips"],
            dict(zip(snakemake.params.systems, tables["scores"], strict=True)),
            snakemake.output.table,
            snakemake.output.page,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
            unscored=unscored,
        )
