# From a folder of clips to the clip tables, one a split: what is trained depends on no test clip.


rule clips:
    input:
        folder=lambda w: FOLDERS[w.machine] if SIMULATED else [],
        train=lambda w: (
            results("clips/train/{machine}.parquet") if w.split == "test" else []
        ),
    output:
        results("clips/{split}/{machine}.parquet"),
    log:
        results("logs/clips/{split}_{machine}.log"),
    conda:
        "../envs/nearfar.yaml"
    params:
        folder=lambda w: FOLDERS[w.machine],
        data={
            key: DATA[key]
            for key in ("clips", "root", "layout", "near", "far", "window", "hop")
        },
        skip=dataset.skips(DATA),
        fingerprint=lambda w: fingerprint(w.machine, w.split),
        sources=sources("workflow/scripts/data/clips.py"),
    script:
        "../workflow/scripts/data/clips.py"


# Whether the far microphone is far: only systems that fuse on the scale of normal clips ask.
rule signals:
    input:
        clips=results("clips/train/{machine}.parquet"),
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


CLIP_TABLES = [
    (machine, split, results(f"clips/{split}/{machine}.parquet"))
    for machine in sorted({*MACHINES, *TRAINING_MACHINES})
    for split in (dataset.SPLITS if machine in MACHINES else ("train",))
]


rule skipped:
    input:
        [path for *_, path in CLIP_TABLES],
    output:
        results("skipped.csv"),
    log:
        results("logs/skipped.log"),
    localrule: True
    conda:
        "../envs/nearfar.yaml"
    params:
        tables=[(machine, split) for machine, split, _ in CLIP_TABLES],
        sources=sources("workflow/scripts/data/skipped.py"),
    script:
        "../workflow/scripts/data/skipped.py"
