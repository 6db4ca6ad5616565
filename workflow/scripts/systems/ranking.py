from nearfar.jobs.job import logged
from nearfar.systems.ranking import rank_machines
from nearfar.systems.sections import scored

if __name__ == "__main__":
    with logged(snakemake):
        tables, unscored = scored(snakemake.params.machines, snakemake.input)
        rank_machines(
            *(table for part in ("train", "clips", "scores", "training") for table in tables[part]),
            dict(zip(snakemake.params.members, tables["normalized"], strict=True)),
            snakemake.output[0],
            decision=snakemake.params.decision,
            worst_windows=snakemake.params.worst_windows,
            unscored=unscored,
        )
