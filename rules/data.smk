# From a folder of clips to the clip tables.


rule clips:
    input:
        folder=lambda w: FOLDERS[w.machine] if SIMULATED else [],
    output:
        results("clips/{machine}.parquet"),
    log:
        results("logs/clips/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        folder=lambda w: FOLDERS[w.machine],
        fingerprint=lambda w: fingerprint(w.machine),
        sources=sources("workflow/scripts/data/clips.py"),
    script:
        "../workflow/scripts/data/clips.py"


# Whether the far microphone is far: only systems that fuse on the scale of normal clips ask.
rule signals:
    input:
        clips=results("clips/{machine}.parquet"),
    output:
        results("signals/{machine}.json"),
    log:
        results("logs/signals/{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        sources=sources("workflow/scripts/data/signals.py"),
    script:
        "../workflow/scripts/data/signals.py"
