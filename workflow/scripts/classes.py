from nearfar.job import job
from nearfar.universal import write_classes

if __name__ == "__main__":
    with job(snakemake):
        write_classes(
            snakemake.input.clips, snakemake.input.embeddings, snakemake.output[0], pseudo=snakemake.params.pseudo
        )
