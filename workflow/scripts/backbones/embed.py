from pathlib import Path

from nearfar.backbones.embed import embed_machine
from nearfar.data.clips import read_clips
from nearfar.jobs.devices import leased
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake), leased(snakemake.params.device):
        outputs = dict(snakemake.output.items())
        bands = {name: outputs.pop(name) for name in list(outputs) if name.startswith("bands_")}
        embed_machine(
            read_clips(snakemake.input.clips)["path"],
            Path(snakemake.input.model[0]).parent,
            outputs,
            bands={name.removeprefix("bands_"): path for name, path in bands.items()},
            pooling=snakemake.params.pooling,
            layers=snakemake.params.layers,
            batch=snakemake.params.batch,
            precision=snakemake.params.precision,
            threads=snakemake.threads,
            device=snakemake.params.device,
        )
