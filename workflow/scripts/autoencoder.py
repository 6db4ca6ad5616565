from nearfar.devices import leased
from nearfar.job import job
from nearfar.reconstruction import score_clips

if __name__ == "__main__":
    with job(snakemake), leased(snakemake.params.device):
        score_clips(snakemake.input.clips, snakemake.input.model, snakemake.output[0], device=snakemake.params.device)
