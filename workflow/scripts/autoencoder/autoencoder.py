from nearfar.autoencoder.residuals import score_clips
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged, made_from

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        score_clips(
            snakemake.input.clips,
            snakemake.input.model,
            snakemake.output[0],
            device=snakemake.params.device,
            made=made_from(snakemake, snakemake.input.model),
        )
