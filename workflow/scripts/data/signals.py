from nearfar.data.signals import judge
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        judge(snakemake.input.clips, snakemake.output[0], machine=snakemake.wildcards.machine)
