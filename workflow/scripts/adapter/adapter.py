from pathlib import Path

from nearfar.adapter.files import train_adapter
from nearfar.jobs.devices import leased
from nearfar.jobs.faults import without_faults
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        given, made = snakemake.input, snakemake.output
        train_adapter(
            Path(given.backbone[0]).parent,
            *without_faults(given.clips, given.classes, given.inputs),
            Path(made.model).parent,
            settings=snakemake.params.settings,
            seed=snakemake.params.seed,
            device=snakemake.params.device,
            state=snakemake.params.state,
            log=made.log,
        )
