from nearfar.jobs.devices import leased
from nearfar.jobs.faults import without_faults
from nearfar.jobs.job import logged
from nearfar.lccr.files import train_lccr

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        train_lccr(
            *without_faults(snakemake.input.clips, snakemake.input.classes, snakemake.input.maps),
            snakemake.output.model,
            snakemake.output.log,
            map_params=snakemake.params.maps,
            params=snakemake.params.train,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
        )
