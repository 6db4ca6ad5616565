from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_machines
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        evaluate_machines(*tables["clips"], *tables["scores"], snakemake.output[0], unscored=unscored)
