from nearfar.download import fetch_record
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch_record(snakemake.params.zenodo, snakemake.wildcards.record, snakemake.output[0])
