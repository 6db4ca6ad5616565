from nearfar.data.skipped import write_skipped
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        tables = zip(snakemake.params.tables, snakemake.input, strict=True)
        write_skipped([(machine, split, path) for (machine, split), path in tables], snakemake.output[0])
