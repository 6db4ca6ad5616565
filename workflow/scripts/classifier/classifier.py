from nearfar.classifier.files import embed_classifier
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        embed_classifier(
            snakemake.input.clips,
            snakemake.input.images,
            snakemake.input.spectra,
            snakemake.input.models,
            snakemake.output[0],
            device=snakemake.params.device,
        )
