from nearfar.job import job
from nearfar.system import fuse_machine

if __name__ == "__main__":
    with job(snakemake):
        fuse_machine(
            dict(zip(sorted(snakemake.params.weights), snakemake.input.normalized, strict=True)),
            snakemake.output[0],
            weights=snakemake.params.weights,
            ranks=snakemake.params.ranks,
            percentile=snakemake.params.percentile,
        )
