from nearfar.jobs.job import logged, made_from
from nearfar.lccr.files import embed_lccr

if __name__ == "__main__":
    with logged(snakemake):
        made = made_from(snakemake, snakemake.input.model)
        embed_lccr(snakemake.input.clips, snakemake.input.model, snakemake.output[0], made=made)
