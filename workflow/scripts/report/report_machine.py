from nearfar.jobs.job import logged
from nearfar.report.machine import report_machine

if __name__ == "__main__":
    with logged(snakemake):
        paths = {key: snakemake.input[key] for key in ("train", "test", "scores", "training")}
        report_machine(
            snakemake.wildcards.machine,
            paths | {"signals": snakemake.input.get("signals")},
            dict(zip(snakemake.params.members, snakemake.input.normalized, strict=True)),
            snakemake.output[0],
            system=snakemake.params.system,
            channels=snakemake.params.channels,
            seed=snakemake.params.seed,
            resamples=snakemake.params.resamples,
            decision=snakemake.params.decision,
            worst_windows=snakemake.params.worst_windows,
            **snakemake.params.report,
        )
