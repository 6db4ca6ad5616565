from nearfar.data.clips import clip_table
from nearfar.jobs.files import write_table
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        table = clip_table(
            snakemake.wildcards.machine,
            snakemake.params.folder,
            snakemake.wildcards.split,
            snakemake.input.get("train"),
        )
        write_table(snakemake.output[0], table)
