from nearfar.job import job
from nearfar.reconstruction import score_clips

if __name__ == "__main__":
    with job(snakemake):
        score_clips(snakemake.input.clips, snakemake.input.model, snakemake.output[0], device=snakemake.params.device)
