from nearfar.job import job
from nearfar.universal import embed_lccr

if __name__ == "__main__":
    with job(snakemake):
        embed_lccr(snakemake.input.clips, snakemake.input.maps, snakemake.input.model, snakemake.output[0])
