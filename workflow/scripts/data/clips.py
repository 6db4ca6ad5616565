from nearfar.data.clips import write_clips
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_clips(
            snakemake.wildcards.machine,
            snakemake.params.folder,
            snakemake.output[0],
            fingerprint=snakemake.params.fingerprint,
        )
