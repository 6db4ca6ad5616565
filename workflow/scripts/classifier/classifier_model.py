from nearfar.classifier.files import train_fold
from nearfar.jobs.devices import leased
from nearfar.jobs.faults import without_faults
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        given = snakemake.input
        train_fold(
            *without_faults(given.clips, given.classes, given.images, given.spectra),
            snakemake.output.model,
            snakemake.output.log,
            fold=int(snakemake.wildcards.fold),
            folds=snakemake.params.folds,
            few=snakemake.params.few,
            inputs=snakemake.params.inputs,
            settings=snakemake.params.train,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
            state=snakemake.params.state,
        )
