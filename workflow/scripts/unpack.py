from nearfar.job import job
from nearfar.unpack import unpack

if __name__ == "__main__":
    with job(snakemake):
        unpack(snakemake.input.archive, snakemake.output[0])
