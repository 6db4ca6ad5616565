from nearfar.clips import write_clips
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        write_clips(
            snakemake.wildcards.machine,
            snakemake.params.folder,
            snakemake.output[0],
            fingerprint=snakemake.params.fingerprint,
        )
