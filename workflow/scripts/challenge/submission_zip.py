from nearfar.challenge.submission import write_zip
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_zip(
            snakemake.input.systems,
            snakemake.output[0],
            label=snakemake.params.label,
            report=snakemake.input.get("report"),
        )
