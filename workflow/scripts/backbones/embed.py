from pathlib import Path

from nearfar.backbones.embed import embed_machine
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged, made_from

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        embed_machine(
            snakemake.input.clips,
            Path(snakemake.input.model[0]).parent,
            dict(snakemake.output.items()),
            made=made_from(snakemake, *snakemake.input.model),
            pooling=snakemake.params.pooling,
            layers=snakemake.params.layers,
            batch=snakemake.params.batch,
            precision=snakemake.params.precision,
            threads=snakemake.threads,
            device=snakemake.params.device,
        )
