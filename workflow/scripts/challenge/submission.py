from nearfar.challenge.submission import write_system
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        write_system(
            snakemake.params.machines,
            snakemake.input.scores,
            snakemake.output[0],
            system=snakemake.params.system,
            about=snakemake.params.about,
            description=snakemake.params.description,
            models=snakemake.input.models,
            table=snakemake.input.get("table"),
        )
