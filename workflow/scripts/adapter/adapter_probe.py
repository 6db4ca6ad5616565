from nearfar.adapter.probe import write_probe
from nearfar.jobs.faults import without_faults
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        given = snakemake.input
        train, test, frozen_train, frozen_test, adapted = without_faults(
            given.train, given.test, given.frozen_train, given.frozen_test, given.adapted
        )
        write_probe(
            {"train": train, "test": test},
            {"train": frozen_train, "test": frozen_test},
            adapted,
            given.training,
            snakemake.output.table,
            snakemake.output.figure,
        )
