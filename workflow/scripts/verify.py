from nearfar.job import job
from nearfar.verify import write_summary

if __name__ == "__main__":
    with job(snakemake):
        write_summary(snakemake.params.folders, snakemake.params.expected, snakemake.output[0])
