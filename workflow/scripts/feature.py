from nearfar.extraction import extract_machine
from nearfar.job import job

if __name__ == "__main__":
    with job(snakemake):
        extract_machine(
            snakemake.input.clips,
            snakemake.output[0],
            feature=snakemake.wildcards.feature,
            channel=snakemake.wildcards.channel,
            params=snakemake.params.params,
        )
