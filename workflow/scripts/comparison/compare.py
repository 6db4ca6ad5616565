from nearfar.comparison.compare import compare_systems
from nearfar.jobs.job import logged
from nearfar.systems.sections import by_name

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        compare_systems(
            dict(zip(machines, snakemake.input.clips, strict=True)),
            by_name(snakemake.params.systems, machines, snakemake.input.scores),
            snakemake.output.table,
            snakemake.output.page,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
