from nearfar.adapter.probe import write_probe
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_probe(
            snakemake.input.clips,
            snakemake.input.frozen,
            snakemake.input.adapted,
            snakemake.input.training,
            snakemake.output.table,
            snakemake.output.figure,
        )
