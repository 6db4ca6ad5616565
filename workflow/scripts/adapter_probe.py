from nearfar.job import job
from nearfar.probe import write_probe

if __name__ == "__main__":
    with job(snakemake):
        write_probe(
            snakemake.input.clips,
            snakemake.input.frozen,
            snakemake.input.adapted,
            snakemake.input.training,
            snakemake.input.epochs,
            snakemake.output.table,
            snakemake.output.figure,
        )
