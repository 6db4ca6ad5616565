from nearfar.adapter_inputs import write_inputs
from nearfar.clips import read_clips
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        paths = read_clips(snakemake.input.clips, snakemake.wildcards.split)["path"]
        write_inputs(paths, snakemake.output[0], snakemake.params.channels)
