from nearfar.job import job
from nearfar.universal import show_classes

if __name__ == "__main__":
    with job(snakemake):
        show_classes(
            snakemake.input.clips,
            snakemake.input.embeddings,
            snakemake.input.classes,
            snakemake.output.table,
            snakemake.output.figure,
        )
