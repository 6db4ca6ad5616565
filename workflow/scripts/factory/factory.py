from pathlib import Path

from nearfar.factory.build import build
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        build(
            snakemake.wildcards.machine,
            Path(snakemake.output[0]).parent,
            seconds=snakemake.params.seconds,
            train_source=snakemake.params.train_source,
            train_target=snakemake.params.train_target,
            test=snakemake.params.test,
            noise_sources=snakemake.params.noise_sources,
            seed=snakemake.params.seed,
        )
