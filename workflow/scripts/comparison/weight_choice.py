from nearfar.comparison.weight_choice import write_weights
from nearfar.jobs.job import logged
from nearfar.systems.sections import by_name

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        write_weights(
            snakemake.params.given,
            snakemake.params.core,
            dict(zip(machines, snakemake.input.clips, strict=True)),
            by_name(snakemake.params.detectors, machines, snakemake.input.normalized),
            snakemake.output[0],
            steps=snakemake.params.steps,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
