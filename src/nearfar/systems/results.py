"""A result as it is printed: a table laid out for reading, or a page as it is."""

import csv
import io
from collections import Counter
from pathlib import Path

from nearfar.data.documents import read_bytes
from nearfar.errors import NearfarError, error_prefix, one_line
from nearfar.systems.tables import COLUMNS, readable

ROWS = 20  # of a table that is longer than tables of Ω are; of a ranking shared among its machines
TABLES = (".csv", ".md")  # what can be printed, by the end of its name
LARGEST = 2**26  # bytes; a ranking takes a hundred a clip


def printed(path: str | Path) -> str:
    """Return the text of a csv or Markdown file under its path, of a long table the first ROWS.

    Raises NearfarError for a file that is neither or cannot be read, for a csv file without rows, and as ``readable``.
    """
    title = one_line(str(path))
    if not title.endswith(TABLES):
        raise NearfarError(f"{title}: neither a csv table nor a Markdown page; give one of those")
    with error_prefix(path):
        text = read_bytes(path, LARGEST).decode(errors="replace")
    if title.endswith(".md"):
        return "\n".join([title, *(one_line(line, len(line)) for line in text.rstrip().splitlines())])
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        raise NearfarError(f"{title}: an empty table; delete it and make it again")
    return readable(text, title) if rows[0][1:] == list(COLUMNS[1:]) else _head(rows, title)


def _head(rows, title):
    """Return the first rows in columns, numbers to the right; of a ranking without what each detector says."""
    shown = [row + [""] * (len(rows[0]) - len(row)) for row in [rows[0], *_first(*rows)]]
    columns = [[one_line(cell) for cell in column] for column in zip(*shown, strict=False)]
    detectors = _detectors(rows[0])
    columns = [_aligned(column) for i, column in enumerate(columns) if i not in detectors]
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    more = [f"{len(rows) - len(shown)} more rows"] if len(rows) > len(shown) else []
    more += [f"the scores of {len(detectors)} detector{'s' * (len(detectors) > 1)}"] if detectors else []
    return "\n".join([title, *lines, *([f"… and {', '.join(more)} in {title}"] if more else [])])


def _first(header, *rows):
    """Return the first ROWS rows, or, of the ranking of several machines, about as many, the first of each."""
    if len(rows) <= ROWS or header[:2] != ["machine", "rank"]:
        return rows[:ROWS]
    share, seen, first = max(ROWS // len({"".join(row[:1]) for row in rows}), 1), Counter(), []
    for row in rows:
        seen.update(row[:1])
        first += [row] if seen["".join(row[:1])] <= share else []
    return first


def _detectors(header):
    """Return which columns of a ranking are detectors': those between the place and the note; of other tables none."""
    ranking = "path" in header and header[-1] == "note"
    return range(header.index("path") + 1, len(header) - 1) if ranking else range(0)


def _aligned(column):
    width = max(map(len, column))
    return [cell.rjust(width) if all(map(_number, column[1:])) else cell.ljust(width) for cell in column]


def _number(cell):
    try:
        return float(cell or 0) is not None
    except ValueError:
        return False
