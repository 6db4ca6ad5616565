"""What ``nearfar score`` does: rows of recordings, printed as they come and, on demand, appended to a csv."""

import csv
import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator

from nearfar.export.clips import Row, recordings_in, score_file
from nearfar.export.drift import BLOCK, warning
from nearfar.export.journal import Journal, identity, words
from nearfar.export.model import Model, load
from nearfar.export.watch import Watcher


def results(arguments: Namespace) -> Iterator[Row]:
    """Yield the rows of what the command line asks for; those that go to a csv are there by then."""
    model = load(arguments.model)
    if arguments.machine:
        model.machine_of(arguments.machine)
    if not arguments.out:
        for path in recordings_in(arguments.files):
            yield from score_file(model, path, arguments.machine)
        return
    journal = Journal(arguments.out, model.bundle.digest[:8])
    if arguments.watch:
        scored = Watcher(arguments.watch, model, journal, arguments.machine).run()
    else:
        scored = _appended(model, journal, arguments)
    for rows in scored:
        yield from rows
        if line := moved(model, journal, rows):
            print(f"nearfar: warning: {line}", file=sys.stderr, flush=True)


def _appended(model, journal, arguments):
    """Yield the rows of each recording once they are in the journal."""
    for path in recordings_in(arguments.files):
        rows = score_file(model, path, arguments.machine)
        journal.append(rows, identity(path, rows[0].clip))
        yield rows


def moved(model: Model, journal: Journal, rows: list[Row]) -> str | None:
    """Return a line where the last rows of a journal complete a block of clips after which normal has moved."""
    machine, count = rows[0].machine, sum(row.scored is not None for row in rows)
    known = journal.p_values[machine]
    if not count or len(known) // BLOCK == (len(known) - count) // BLOCK:
        return None
    return warning(machine, known, len(model.fitted(machine).training))


def print_results(rows: Iterable[Row], form: str) -> Counter:
    """Print each row as it comes, in the form "text", "csv" or "json"; return how many there are of each decision."""
    told, writer = Counter(), csv.writer(sys.stdout, lineterminator="\n")
    for row in rows:
        values = row.values()
        if form == "json":
            print(json.dumps(values, ensure_ascii=False))
        elif form == "csv":
            if not told:
                writer.writerow(values)
            writer.writerow((values | {"reasons": words(row)}).values())
        else:
            print(line_of(row))
        sys.stdout.flush()
        told[row.decision] += 1
    return told


def line_of(row: Row) -> str:
    """Return what a person reads of a clip."""
    if row.scored is None:
        return f"{row.decision:10}  {row.clip}: {row.note}"
    one, sign = row.scored, ">" if row.decision == "anomaly" else "≤"
    compared = f"{one.score:.3f} {sign} {one.threshold:.3f}  p {one.p:.3f}"
    return f"{row.decision:10}  {compared}  {row.machine}  {row.clip}  ({words(row)})"
