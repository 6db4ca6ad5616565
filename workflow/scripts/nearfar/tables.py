"""How the table of Ω looks. Used while the workflow is parsed: no heavy import."""

import csv
import io

COLUMNS = (
    *("machine", "section", "auc_source", "auc_target", "pauc", "omega"),
    *("auc_source_own", "auc_target_own", "omega_own", "precision", "recall", "f1"),
)


def readable(table, title):
    """Return the csv text of a table laid out for reading, under a title line."""
    rows = list(csv.reader(io.StringIO(table)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    omega, own = rows[-1][COLUMNS.index("omega")], rows[-1][COLUMNS.index("omega_own")]
    return "\n".join([title, *lines, f"Ω {omega} official, {own} own-domain (percent)"])
