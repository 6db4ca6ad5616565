from nearfar.autoencoder.residuals import train_autoencoder
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        train_autoencoder(
            snakemake.input.clips,
            snakemake.output.model,
            snakemake.output.log,
            machine=snakemake.wildcards.machine,
            settings=snakemake.params.settings,
            singular=snakemake.params.singular,
            few=snakemake.params.few,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
        )
