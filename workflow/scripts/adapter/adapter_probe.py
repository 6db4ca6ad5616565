from nearfar.adapter.probe import write_probe
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        given = snakemake.input
        write_probe(
            {"train": given.train, "test": given.test},
            {"train": given.frozen_train, "test": given.frozen_test},
            given.adapted,
            given.training,
            snakemake.output.table,
            snakemake.output.figure,
        )
