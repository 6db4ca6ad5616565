from nearfar.classifier.files import embed_classifier
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged, made_from

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        embed_classifier(
            snakemake.input.clips,
            snakemake.input.models,
            snakemake.output[0],
            channel=snakemake.wildcards.channel,
            device=snakemake.params.device,
            made=made_from(snakemake, *snakemake.input.models),
        )
