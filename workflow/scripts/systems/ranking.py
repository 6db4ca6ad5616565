from nearfar.jobs.job import logged
from nearfar.systems.ranking import rank_machines

if __name__ == "__main__":
    with logged(snakemake):
        rank_machines(
            snakemake.params.machines, snakemake.input.clips, snakemake.input.scores, path=snakemake.output[0]
        )
