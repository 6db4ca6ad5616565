from nearfar.challenge.download import fetch_archive
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        fetch_archive(snakemake.input.record, snakemake.output[0])
