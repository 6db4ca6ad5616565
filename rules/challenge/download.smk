# The challenge's data from its Zenodo records, a step of its own: clips are fingerprinted when the workflow is parsed.
# Each rule makes only what is not there yet: what was put in place by hand, or before, is neither fetched nor replaced.
SETS = config["data"]["sets"]
ROOT = config["data"]["root"]
PLACES = stopping(challenge.places, SETS)
RECORDS = {source.archive: source.record for source in PLACES.values()}
ABSENT = challenge.absent(ROOT, SETS)


def archives(file):
    """Return the path of an archive or of a record's metadata."""
    return str(Path(ROOT, challenge.ARCHIVES, file))


def absent(files, suffix=""):
    """Return a wildcard constraint that admits those archives, or records, that are not there."""
    return any_of(
        [
            file
            for file in sorted(set(files))
            if not Path(archives(file + suffix)).exists()
        ]
    )


localrules:
    record,
    archive,
    unpack,
    verify,
    download,


rule record:
    output:
        archives("{record}.json"),
    log:
        results("logs/record/{record}.log"),
    wildcard_constraints:
        record=absent(RECORDS.values(), ".json"),
    conda:
        "../../envs/nearfar.yaml"
    params:
        sources=sources("workflow/scripts/challenge/record.py"),
    script:
        "../../workflow/scripts/challenge/record.py"


rule archive:
    input:
        record=lambda w: archives(f"{RECORDS[w.archive]}.json"),
    output:
        archives("{archive}"),
    log:
        results("logs/archive/{archive}.log"),
    wildcard_constraints:
        archive=absent(RECORDS),
    conda:
        "../../envs/nearfar.yaml"
    resources:
        transfers=1,
    params:
        sources=sources("workflow/scripts/challenge/archive.py"),
    script:
        "../../workflow/scripts/challenge/archive.py"


rule unpack:
    input:
        archive=lambda w: archives(PLACES[w.place].archive),
    output:
        directory(str(Path(ROOT, "{place}"))),
    log:
        results("logs/unpack/{place}.log"),
    wildcard_constraints:
        place=any_of(ABSENT),
    conda:
        "../../envs/nearfar.yaml"
    params:
        sources=sources("workflow/scripts/challenge/unpack.py"),
    script:
        "../../workflow/scripts/challenge/unpack.py"


rule verify:
    input:
        folders=[str(Path(ROOT, place)) for place in PLACES],
    output:
        results("data.md"),
    log:
        results("logs/verify.log"),
    conda:
        "../../envs/nearfar.yaml"
    params:
        folders=FOLDERS,
        expected=challenge.expected(SETS),
        fingerprints=lambda w: [
            fingerprint(machine, split)
            for machine in FOLDERS
            for split in dataset.SPLITS
        ],
        sources=sources("workflow/scripts/challenge/verify.py"),
    script:
        "../../workflow/scripts/challenge/verify.py"


rule download:
    input:
        rules.verify.output,
