"""The rows of score and decision files as the challenge has them, for ``validate``, ``evaluate`` and ``compare``."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from nearfar.data.names import parse
from nearfar.errors import NearfarError

FILES = ("anomaly_score", "decision_result")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Row(NamedTuple):
    """A line of a file, counted from 1, and the text of its value."""

    line: int
    value: str


def decoded(data: bytes) -> tuple[str | None, list[str]]:
    """Return the text of a file, None where it has none, and the list of its breaches."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [f"line {data[: error.start].count(10) + 1}: not UTF-8; save it as that"]
    if text.startswith("\ufeff"):
        return text[1:], ["line 1: begins with a byte order mark; save it as UTF-8 without one"]
    return text, []


def row_breaches(name: str, data: bytes, kind: str, section: str, rows: dict[str, Row]) -> Iterator[str]:
    """Yield the breaches of a csv file, each beginning with its name; put its clips into the dict ``rows``.

    kind: one of FILES; section: two digits.
    """
    text, found = decoded(data)
    yield from (f"{name}, {breach}" for breach in found)
    lines = (text or "").split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, 1):
        file, *values = line.removesuffix("\r").split(",")
        other = None if _is_clip(file, section) else section
        if fault := _row_fault(number, file, values, rows, other) or _value_fault(values[0], kind):
            yield f"{name}, line {number}: {fault}"
        if not other:
            rows.setdefault(file, Row(number, values[0] if values else ""))
    if text is not None and not rows:
        yield f"{name}: no clip in it; write one row a test clip"


def _row_fault(number, file, values, rows, wanted):
    """Return what is wrong with a row but for its value, or None; wanted: the section where ``file`` is not of it."""
    if not file and not values:
        return "empty; delete it"
    if len(values) != 1:
        return f"{len(values) + 1} columns; write two, file name and value"
    if number == 1 and wanted and not NUMBER.fullmatch(values[0]):
        return "a header; delete it"
    if wanted:
        return f"{file[:80]!r} is no test clip of section {wanted}; write section_{wanted}_0000.wav or the like"
    if file in rows:
        return f"{file} stands in line {rows[file].line} already; delete one"
    return None


def _value_fault(value, kind):
    if kind == "decision_result":
        if value in ("0", "1"):
            return None
        habit = "; of scikit-learn's -1 and 1, 1 is normal: write its -1 as 1, its 1 as 0" if value == "-1" else ""
        return f"decision {value[:80]!r}; write 0 or 1{habit}"
    if NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return None
    return f"score {value[:80]!r}; write a finite number"


def _is_clip(file, section):
    try:
        return parse(file, "test").section == section
    except NearfarError:
        return False
