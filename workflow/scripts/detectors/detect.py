from nearfar.detectors.detection import detect_machine
from nearfar.jobs.job import logged, made_from

if __name__ == "__main__":
    with logged(snakemake):
        detect_machine(
            snakemake.input.clips,
            snakemake.input.views,
            dict(snakemake.output.items()),
            machine=snakemake.wildcards.machine,
            detector=snakemake.wildcards.detector,
            method=snakemake.params.method,
            params=snakemake.params.params,
            folds=snakemake.params.folds,
            few=snakemake.params.few,
            seed=snakemake.params.seed,
            normalization=snakemake.params.normalization,
            made=made_from(snakemake),
        )
