from nearfar.devices import leased
from nearfar.job import job
from nearfar.pretraining import pretrain

if __name__ == "__main__":
    with job(snakemake), leased(snakemake.params.device):
        pretrain(
            snakemake.input.inputs,
            dict(snakemake.output.items()),
            config=snakemake.params.config,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
            **snakemake.params.train,
        )
