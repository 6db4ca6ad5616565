from pathlib import Path

from nearfar.backbones.source import fetch
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        fetch(
            snakemake.params.name,
            Path(snakemake.output[0]).parent,
            family=snakemake.params.family,
            revision=snakemake.params.get("revision"),
            sha256=snakemake.params.get("sha256"),
            config=snakemake.params.get("config"),
            seed=snakemake.params.seed,
            file=snakemake.params.get("file"),
        )
