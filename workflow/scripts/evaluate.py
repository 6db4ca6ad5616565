from nearfar.evaluation import evaluate_machines
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        evaluate_machines(
            snakemake.params.machines, snakemake.input.clips, snakemake.input.scores, path=snakemake.output[0]
        )
