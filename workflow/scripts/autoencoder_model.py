from nearfar.devices import leased
from nearfar.job import job
from nearfar.reconstruction import train_autoencoder

if __name__ == "__main__":
    with job(snakemake), leased(snakemake.params.device):
        train_autoencoder(
            snakemake.input.clips,
            snakemake.output.model,
            snakemake.output.log,
            machine=snakemake.wildcards.machine,
            settings=snakemake.params.settings,
            singular=snakemake.params.singular,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
        )
