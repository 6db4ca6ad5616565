from nearfar.clips import read_clips
from nearfar.job import job
from nearfar.lccr_maps import write_maps

if __name__ == "__main__":
    with job(snakemake):
        write_maps(read_clips(snakemake.input.clips)["path"], snakemake.output[0], **snakemake.params.maps)
