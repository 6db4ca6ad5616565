from nearfar.comparison.ablation import variants, write_ablation
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_ablation(
            variants(**snakemake.params.variants),
            snakemake.params.machines,
            snakemake.input.clips,
            list(snakemake.params.variants["detectors"]),
            snakemake.input.normalized,
            snakemake.output[0],
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
        )
