from nearfar.classifier.inputs import write_inputs
from nearfar.data.clips import read_clips
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_inputs(
            read_clips(snakemake.input.clips)["place"],
            snakemake.wildcards.channel,
            snakemake.output.images,
            snakemake.output.spectra,
            **snakemake.params.inputs,
        )
