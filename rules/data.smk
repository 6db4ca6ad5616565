# From a folder of clips to the clip tables.


def fingerprint(machine):
    """Return what stands for a machine's clips; of what cannot be read nothing, as its own job says what is wrong."""
    try:
        return "" if SIMULATED else dataset.fingerprint(FOLDERS[machine])
    except (NearfarError, OSError, UnicodeError):
        return ""


rule clips:
    input:
        folder=lambda w: FOLDERS[w.machine] if SIMULATED else [],
        sources=sources("workflow/scripts/data/clips.py"),
    output:
        results("clips/{machine}.parquet"),
    log:
        results("logs/clips/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        folder=lambda w: FOLDERS[w.machine],
        fingerprint=lambda w: fingerprint(w.machine),
    script:
        "../workflow/scripts/data/clips.py"
