from nearfar.job import job
from nearfar.system import rank_machines

if __name__ == "__main__":
    with job(snakemake):
        rank_machines(
            snakemake.params.machines, snakemake.input.clips, snakemake.input.scores, path=snakemake.output[0]
        )
