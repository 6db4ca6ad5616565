from nearfar.jobs.job import logged
from nearfar.lccr.files import embed_lccr

if __name__ == "__main__":
    with logged(snakemake):
        embed_lccr(snakemake.input.clips, snakemake.input.maps, snakemake.input.model, snakemake.output[0])
