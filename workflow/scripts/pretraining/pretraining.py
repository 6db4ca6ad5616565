from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged
from nearfar.pretraining.run import pretrain

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        pretrain(
            snakemake.input.inputs,
            dict(snakemake.output.items()),
            config=snakemake.params.config,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
            **snakemake.params.train,
        )
