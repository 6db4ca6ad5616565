from pathlib import Path

from nearfar.backbone import fetch
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch(
            snakemake.params.name,
            Path(snakemake.output[0]).parent,
            revision=snakemake.params.get("revision"),
            sha256=snakemake.params.get("sha256"),
            config=snakemake.params.get("config"),
            seed=snakemake.params.seed,
            file=snakemake.params.get("file"),
        )
