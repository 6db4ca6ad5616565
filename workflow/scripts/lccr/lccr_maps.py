from nearfar.data.clips import read_clips
from nearfar.jobs.job import logged
from nearfar.lccr.maps import write_maps

if __name__ == "__main__":
    with logged(snakemake):
        write_maps(read_clips(snakemake.input.clips)["place"], snakemake.output[0], **snakemake.params.maps)
