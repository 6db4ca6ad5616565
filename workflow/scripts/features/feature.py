from nearfar.features.extraction import extract_machine
from nearfar.jobs.job import logged, made_from

if __name__ == "__main__":
    with logged(snakemake):
        extract_machine(
            snakemake.input.clips,
            snakemake.output[0],
            feature=snakemake.wildcards.feature,
            channel=snakemake.wildcards.channel,
            params=snakemake.params.params,
            made=made_from(snakemake),
        )
