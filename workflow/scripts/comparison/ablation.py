from nearfar.comparison.ablation import variants, write_ablation
from nearfar.jobs.job import logged
from nearfar.systems.sections import by_name

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        write_ablation(
            variants(**snakemake.params.variants),
            dict(zip(machines, snakemake.input.clips, strict=True)),
            by_name(snakemake.params.variants["detectors"], machines, snakemake.input.normalized),
            snakemake.output[0],
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
