from nearfar.detection import fit_machine
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        fit_machine(
            snakemake.input.clips,
            snakemake.input.views,
            snakemake.output[0],
            machine=snakemake.wildcards.machine,
            detector=snakemake.wildcards.detector,
            method=snakemake.params.method,
            params=snakemake.params.params,
            folds=snakemake.params.folds,
            seed=snakemake.params.seed,
        )
