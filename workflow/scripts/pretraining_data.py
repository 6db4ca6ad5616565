from nearfar.job import job
from nearfar.pretraining_data import write_inputs

if __name__ == "__main__":
    with job(snakemake):
        write_inputs(
            snakemake.output[0],
            clips=snakemake.params.clips,
            seconds=snakemake.params.seconds,
            seed=snakemake.params.seed,
        )
