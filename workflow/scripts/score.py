from nearfar.detection import score_machine
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        score_machine(
            snakemake.input.clips,
            snakemake.input.views,
            snakemake.input.fits,
            snakemake.output.scores,
            snakemake.output.normalized,
            machine=snakemake.wildcards.machine,
            detector=snakemake.wildcards.detector,
            folds=snakemake.params.folds,
            seed=snakemake.params.seed,
            normalization=snakemake.params.normalization,
        )
