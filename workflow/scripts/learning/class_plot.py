from nearfar.jobs.job import logged
from nearfar.learning.classes import show_classes

if __name__ == "__main__":
    with logged(snakemake):
        show_classes(
            snakemake.input.clips,
            snakemake.input.embeddings,
            snakemake.input.classes,
            snakemake.output.table,
            snakemake.output.figure,
            components=snakemake.params.components,
        )
