from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged, made_from
from nearfar.lccr.files import embed_lccr

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        embed_lccr(
            snakemake.input.clips,
            snakemake.input.model,
            snakemake.output[0],
            device=snakemake.params.device,
            made=made_from(snakemake, snakemake.input.model),
        )
