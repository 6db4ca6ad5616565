from nearfar.challenge.download import ZENODO, fetch_record
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        fetch_record(ZENODO, snakemake.wildcards.record, snakemake.output[0])
