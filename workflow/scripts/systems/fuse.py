from nearfar.jobs.job import logged
from nearfar.systems.machine import fuse_machine

if __name__ == "__main__":
    with logged(snakemake):
        fuse_machine(
            dict(zip(snakemake.params.members, snakemake.input.normalized, strict=True)),
            snakemake.output.scores,
            snakemake.output.training,
            system=snakemake.params.system,
            decision=snakemake.params.decision,
            signals=snakemake.input.get("signals"),
        )
