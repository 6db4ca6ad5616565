from nearfar.clips import read_clips
from nearfar.job import job
from nearfar.universal import embed_lccr

if __name__ == "__main__":
    with job(snakemake):
        embed_lccr(
            read_clips(snakemake.input.clips)["file"], snakemake.input.maps, snakemake.input.model, snakemake.output[0]
        )
