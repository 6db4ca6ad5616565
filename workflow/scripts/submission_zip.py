from nearfar.job import job
from nearfar.submission import write_zip

if __name__ == "__main__":
    with job(snakemake):
        write_zip(
            snakemake.input.systems,
            snakemake.output[0],
            label=snakemake.params.label,
            report=snakemake.input.get("report"),
        )
