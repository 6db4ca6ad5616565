from nearfar.jobs.job import logged
from nearfar.learning.classes import write_classes

if __name__ == "__main__":
    with logged(snakemake):
        write_classes(
            snakemake.input.clips,
            snakemake.input.embeddings,
            snakemake.output[0],
            pseudo=snakemake.params.pseudo,
            **snakemake.params.clusters,
        )
