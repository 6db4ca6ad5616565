from nearfar.jobs.job import logged
from nearfar.report.render import write_report
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        write_report(
            snakemake.wildcards.system,
            *tables["machines"],
            snakemake.output[0],
            unscored=unscored,
            config=snakemake.params.config,
        )
