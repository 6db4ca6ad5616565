from nearfar.jobs.job import logged
from nearfar.systems.ranking import rank_machines

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        rank_machines(
            dict(zip(machines, snakemake.input.clips, strict=True)),
            dict(zip(machines, snakemake.input.scores, strict=True)),
            snakemake.output[0],
        )
