from pathlib import Path

from nearfar.backbone import fetch
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch(
            snakemake.params.name,
            Path(snakemake.output[0]).parent,
            revision=snakemake.params.revision,
            sha256=snakemake.params.sha256,
            config=snakemake.params.config,
            seed=snakemake.params.seed,
        )
