from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_machines

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        evaluate_machines(
            dict(zip(machines, snakemake.input.clips, strict=True)),
            dict(zip(machines, snakemake.input.scores, strict=True)),
            snakemake.output[0],
        )
