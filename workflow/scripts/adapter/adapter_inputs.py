from nearfar.adapter.inputs import write_inputs
from nearfar.data.clips import read_clips
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        paths = read_clips(snakemake.input.clips)["place"]
        write_inputs(paths, snakemake.output[0], snakemake.params.channels)
