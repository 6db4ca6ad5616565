from nearfar.jobs.job import logged
from nearfar.pretraining.data import write_inputs

if __name__ == "__main__":
    with logged(snakemake):
        write_inputs(
            snakemake.output[0],
            clips=snakemake.params.clips,
            seconds=snakemake.params.seconds,
            seed=snakemake.params.seed,
        )
