from nearfar.comparison.ablation import variants, write_ablation
from nearfar.jobs.job import logged
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        write_ablation(
            variants(**snakemake.params.variants),
            *tables["clips"],
            dict(zip(snakemake.params.variants["detectors"], tables["normalized"], strict=True)),
            snakemake.output[0],
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
            unscored=unscored,
        )
