from nearfar.jobs.job import logged
from nearfar.systems.evaluation import evaluate_detectors
from nearfar.systems.sections import by_name

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        evaluate_detectors(
            dict(zip(machines, snakemake.input.clips, strict=True)),
            by_name(snakemake.params.detectors, machines, snakemake.input.normalized),
            snakemake.output[0],
        )
