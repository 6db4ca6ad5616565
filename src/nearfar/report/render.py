"""From what is known of each machine to one page, complete in itself."""

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from nearfar.jobs.files import write_text
from nearfar.report.charts import frequency_ticks, histogram, line, share_above
from nearfar.report.words import compared

TEMPLATES = Path(__file__).parent / "page"
ROWS = 2000  # of a table that has more; ranking.csv has all
METRICS = {
    "auc": "AUC",
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "pauc": "pAUC",
    "auc_source_own": "AUC source, own domain",
    "auc_target_own": "AUC target, own domain",
}


def write_report(
    system: str, machines: dict[str, str | Path], path: str | Path, *, unscored: dict[str, str], config: dict[str, Any]
) -> None:
    """Write report.html of a system from what ``report_machine`` has written.

    machines: dict from machine to path; unscored: from machine to the reason; config: the configuration, to be shown.
    The page holds no date and no place of this program, so that the same results give the same bytes.
    """
    import jinja2

    found = [_with_charts(json.loads(Path(place).read_text(encoding="utf-8"))) for place in machines.values()]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        system=system,
        machines=found,
        unscored=unscored,
        ticks=frequency_ticks(),
        metrics=METRICS,
        version=version("nearfar"),
        configuration=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        data={one["machine"]: one["data"] for one in found},
        detectors={name: compared(config["detectors"][name]) for one in found for name in one["detectors"]},
    )
    write_text(path, page)


def _with_charts(known):
    """Return what is known of a machine with what its drawings and first figures need."""
    rows = known["rows"]
    scores = [row["score"] for row in rows]
    ((usual, _),) = Counter(row["threshold"] for row in rows).most_common(1)  # of the commonest length, as training is
    place = {row["id"]: row for row in rows}
    for card in known["cards"]:
        card["row"] = place[card["row"]]
    shown = {card["row"]["id"] for card in known["cards"]}
    return known | {
        "threshold": usual,
        "alarms": sum(row["decision"] == "anomaly" for row in rows),
        "expected": share_above(known["training"], usual),
        "histogram": histogram(known["training"], rows),
        "highest_rank": max([one["rank"] for card in known["cards"] for one in card["detectors"]], default=1.0),
        "most_unusual": max([abs(z) for card in known["cards"] for z in card["bands"]], default=1.0),
        "listed": [row | {"shown": row["id"] in shown} for row in rows[:ROWS]],
        "range": (min(*known["training"], *scores), max(*known["training"], *scores)),
        "lines": {name: _timeline(*parts, usual) for name, parts in known["timelines"].items()},
    }


def _timeline(starts, levels, threshold):
    """Return the points of a recording's levels over time, and how high the threshold lies, in a box of 100 by 100."""
    low, high = min(*levels, threshold), max(*levels, threshold)
    high = high if high > low else low + 1
    height = 100 - 100 * (threshold - low) / (high - low)
    return {"points": line(starts, levels, low, high), "threshold": round(height, 1), "end": starts[-1]}
