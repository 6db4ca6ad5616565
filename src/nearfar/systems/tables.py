"""How tables look. Used while the workflow is parsed: no heavy import at the top."""

import csv
import io
from collections.abc import Collection, Iterable, Sequence

from nearfar.errors import NearfarError

COLUMNS = (
    *("machine", "section", "auc_source", "auc_target", "pauc", "omega"),
    *("auc_source_own", "auc_target_own", "omega_own", "precision", "recall", "f1"),
)
ONE_DOMAIN = "Ω of one domain: harmonic mean of AUC and pAUC"
NOT_SCORED = "not scored"  # what a table says of a machine, and a ranking of a recording
DECISIONS = ("normal", "anomaly")  # in words, for 0 and 1


def not_scored(unscored: dict[str, str], first: str = COLUMNS[0], second: str = COLUMNS[1]) -> list[dict[str, str]]:
    """Return the rows that name the machines that could not be scored, by the ``first`` two columns of a table.

    unscored: dict from machine to the reason. The numbers of such a row are empty, so that what reads csv reads on.
    """
    return [{first: NOT_SCORED, second: f"{machine} ({reason})"} for machine, reason in unscored.items()]


def omega_csv(rows: Iterable[dict], first: str = COLUMNS[0]) -> str:
    """Return rows (dicts of COLUMNS, fractions) as csv text, percent with two decimals; ``first`` heads the machines.

    Without pandas, which would cost more than the evaluation.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, *COLUMNS[1:]])
    for row in rows:
        numbers = [f"{100 * row[name]:.2f}" if name in row else "" for name in COLUMNS[2:]]
        writer.writerow([row["machine"], row["section"], *numbers])
    return text.getvalue()


def csv_table(
    rows: Iterable[dict] | dict[str, Iterable],
    columns: Sequence[str],
    percent: Collection[str] = (),
    decimals: int = 4,
) -> str:
    """Return a table for people as csv text: so many decimals, or, of fractions in ``percent``, percent with two.

    rows: dicts with some of the columns, or a dict of columns. What is absent or NaN is an empty cell.
    """
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(columns))
    for name in percent:
        table[name] = (100.0 * table[name].astype(float)).map("{:.2f}".format, na_action="ignore")
    return table.to_csv(index=False, float_format=f"%.{decimals}f", lineterminator="\n")


def markdown(rows: Iterable[Sequence[str]], columns: Sequence[str]) -> str:
    """Return rows of text as a Markdown table, without a line end after the last row."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(columns))
    return table.to_markdown(index=False, tablefmt="github", disable_numparse=True)


def readable(table: str, title: str) -> str:
    """Return the csv text of a table laid out for reading, under a title line.

    Raises NearfarError for another table than eval.csv or detectors.csv.
    """
    rows = list(csv.reader(io.StringIO(table)))
    if not rows or rows[0][1:] != list(COLUMNS[1:]) or any(len(row) != len(COLUMNS) for row in rows):
        raise NearfarError(f"{title.strip()}: not a table of Ω; give an eval.csv or the detectors.csv")
    unscored = [f"{NOT_SCORED}: {row[1]}" for row in rows if row[0] == NOT_SCORED]
    rows = [row for row in rows if row[0] != NOT_SCORED]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([title, *lines, *_summary(rows[1:]), *unscored])


def _summary(rows):
    """Yield what is said below the rows of a table of Ω: Ω over all, and which machines' is of one domain."""
    machines = [row for row in rows if row[0] != "all"]
    alone = dict.fromkeys(row[0] for row in machines if not all(row[2:4]))  # auc_source and auc_target
    whole = {row[0] for row in machines} - alone.keys()
    if rows and rows[-1][0] == "all":
        omega, own = (rows[-1][COLUMNS.index(name)] for name in ("omega", "omega_own"))
        yield f"Ω {omega} official, {own} own-domain (percent)" if whole else f"{ONE_DOMAIN}: {omega} (percent)"
    elif alone and not whole:
        yield ONE_DOMAIN
    if alone and whole:
        yield f"{ONE_DOMAIN}: {', '.join(alone)}"
