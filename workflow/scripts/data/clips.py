from nearfar.data.clips import clip_table
from nearfar.data.own import Cut, own_table
from nearfar.data.tables import entries_of, of_split
from nearfar.jobs.files import write_table
from nearfar.jobs.job import logged

if __name__ == "__main__":
    with logged(snakemake):
        data, machine, split = snakemake.params.data, snakemake.wildcards.machine, snakemake.wildcards.split
        if snakemake.params.folder:
            channels = 1 if data["far"] is None else 2
            table = clip_table(machine, snakemake.params.folder, split, snakemake.input.get("train"), channels)
        else:
            entries = of_split(entries_of(data)[machine], split)
            cut = Cut(*(data[key] for key in Cut._fields))
            table = own_table(machine, entries, split, cut, skip=snakemake.params.skip)
        write_table(snakemake.output[0], table)
