from nearfar.download import fetch_archive
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch_archive(snakemake.input.record, snakemake.output[0])
