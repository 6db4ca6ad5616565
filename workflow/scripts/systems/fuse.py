from nearfar.jobs.job import logged
from nearfar.systems.ranking import fuse_machine

if __name__ == "__main__":
    with logged(snakemake):
        fuse_machine(
            dict(zip(sorted(snakemake.params.weights), snakemake.input.normalized, strict=True)),
            snakemake.output[0],
            weights=snakemake.params.weights,
            ranks=snakemake.params.ranks,
            percentile=snakemake.params.percentile,
        )
