from nearfar.jobs.job import logged
from nearfar.systems.sections import scored
from nearfar.systems.timeline import write_timeline

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        write_timeline(*tables["clips"], *tables["scores"], snakemake.output[0], unscored=unscored)
