from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_machines

if __name__ == "__main__":
    with logged(snakemake):
        evaluate_machines(
            snakemake.params.machines, snakemake.input.clips, snakemake.input.scores, path=snakemake.output[0]
        )
