from nearfar.challenge.verify import write_summary
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_summary(snakemake.params.folders, snakemake.params.expected, snakemake.output[0])
