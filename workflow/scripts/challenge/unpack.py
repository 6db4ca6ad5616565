from nearfar.challenge.unpack import unpack
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        unpack(snakemake.input.archive, snakemake.output[0])
