"""How tables look. Used while the workflow is parsed: no heavy import."""

import csv
import io

from nearfar.errors import NearfarError

COLUMNS = (
    *("machine", "section", "auc_source", "auc_target", "pauc", "omega"),
    *("auc_source_own", "auc_target_own", "omega_own", "precision", "recall", "f1"),
)


def csv_text(fields, rows, plain=()):
    """Return rows (dicts of fractions and texts) as csv: percent with two decimals, ``plain`` fields with four."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(row.get(name), name in plain) for name in fields] for row in rows)
    return text.getvalue()


def _cell(value, plain):
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.4f}" if plain else f"{100 * value:.2f}"


def readable(table, title):
    """Return the csv text of a table laid out for reading, under a title line.

    Raises NearfarError for another table than eval.csv or detectors.csv.
    """
    rows = list(csv.reader(io.StringIO(table)))
    if not rows or rows[0][1:] != list(COLUMNS[1:]):
        raise NearfarError(f"{title.strip()}: not a table of Ω; give an eval.csv or the detectors.csv")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    if rows[-1][0] == "all":
        omega, own = (rows[-1][COLUMNS.index(name)] for name in ("omega", "omega_own"))
        lines.append(f"Ω {omega} official, {own} own-domain (percent)")
    return "\n".join([title, *lines])
