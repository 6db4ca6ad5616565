"""What systems, detectors, literal forms and weights are worth on a data set: writes benchmarks/systems.md.

    .venv/bin/python benchmarks/systems.py results/emulated "Real recordings, emulated near and far"

The folder holds compare.csv, ablation.csv and weights.csv of a run with config/literal.yaml (docs/evidence.md has the
commands); the section of that title is written anew.
"""

import csv
import sys
from pathlib import Path

from page import write_section

from nearfar.systems.tables import markdown

HEAD = """# What systems and detectors are worth

Made by `benchmarks/systems.py`; do not edit. Ω in percent, in brackets the 95 % interval of the paired bootstrap over
clips. [docs/evidence.md](../docs/evidence.md) says what follows from it, [config/literal.yaml](../config/literal.yaml)
what the literal forms are.
"""


def rows_of(path):
    """Return the rows of a csv, a list of dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figure(row, name, digits=1, sign=""):
    """Return a value with its interval, from columns ``name``, ``name``_low and ``name``_high; – where it is empty."""
    if not row or not row[name]:
        return "–"
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value:{sign}.{digits}f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def systems(rows):
    """Return the table of both Ω of every system."""
    found = {}
    for row in rows:
        if row["machine"] == "all" and not row["against"] and row["metric"] in ("omega", "omega_own"):
            cell = {"omega": row["value"], "omega_low": row["low"], "omega_high": row["high"]}
            found.setdefault(row["system"], {})[row["metric"]] = figure(cell, "omega", 2)
    rows = [[f"`{name}`", *cells.values()] for name, cells in found.items()]
    return markdown(rows, ["system", "Ω official", "own-domain"])


def detectors(rows):
    """Return the table of every detector: alone, beside the core, and what its system is without it."""
    of = {(row["group"], row["variant"]): row for row in rows}
    whole = next((row["against"] for row in rows if row["group"] == "taken out"), "")
    found = [
        [
            f"`{name}`",
            figure(row, "omega"),
            figure(of.get(("beside the core", f"core + {name}")), "omega_difference", sign="+"),
            figure(of.get(("taken out", f"{whole} - {name}")), "omega_difference", sign="+"),
        ]
        for (group, name), row in of.items()
        if group == "alone"
    ]
    return markdown(found, ["detector", "alone", "core + it, against the core", f"{whole} without it"])


def literal_forms(rows):
    """Return the table of every literal form against ours, by itself and in its place of the system."""
    forms = [row for row in rows if row["group"] == "literal"]
    found = [
        [
            f"`{row['variant']}`",
            figure(row, "omega_difference", sign="+"),
            figure(row, "omega_own_difference", sign="+"),
            figure(
                next((r for r in forms if f", {row['variant']} for " in r["variant"]), None),
                "omega_difference",
                sign="+",
            ),
        ]
        for row in forms
        if " for " not in row["variant"]
    ]
    return markdown(found, ["literal form", "alone, against ours", "own-domain", "in the system"])


def weights(rows):
    """Return the table of Ω with the fixed weights, and with those chosen on labels."""
    found = [
        [row["choice"], figure(row, "omega"), figure(row, "omega_difference", sign="+"), figure(row, "omega_own")]
        for row in rows
        if row["machine"] == "all"
    ]
    return markdown(found, ["weights", "Ω official", "against the fixed ones", "own-domain"])


def main():
    """Write the section of one data set."""
    folder, title = Path(sys.argv[1]), sys.argv[2]
    ablation = rows_of(folder / "ablation.csv")
    tables = [
        *(systems(rows_of(folder / "compare.csv")), detectors(ablation), literal_forms(ablation)),
        weights(rows_of(folder / "weights.csv")),
    ]
    write_section(Path(__file__).with_name("systems.md"), HEAD, title, "\n\n".join(tables))


if __name__ == "__main__":
    main()
