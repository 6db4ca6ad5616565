from nearfar.export.system import export_system
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        machines = snakemake.params.machines
        export_system(
            snakemake.output[0],
            snakemake.params.about,
            clips=dict(zip(machines, snakemake.input.clips, strict=True)),
            members=dict(zip(snakemake.params.members, snakemake.input.members, strict=True)),
            signals=dict(zip(machines, snakemake.input.get("signals", []), strict=False)),
        )
