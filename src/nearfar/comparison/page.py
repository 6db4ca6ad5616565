"""The comparison of systems as a page to read, in Markdown."""

from nearfar.comparison.records import Difference, Figure
from nearfar.systems.metrics import METRICS
from nearfar.systems.tables import ONE_DOMAIN, markdown

EXPLAINED = """\
Percent. In brackets the 95 % interval of a paired bootstrap over clips ({resamples:,} draws, stratified by
machine, domain and condition): optimistic where clips of one recording resemble each other. The interval
that also draws machines anew is indicative only: a handful of machines says little about others. *better* or
*worse* stands only where the interval of the paired difference excludes zero and Holm's p over all pairs
is below 0.05."""
TITLES = {"omega": "Ω official", "omega_own": "Ω own-domain"}


def as_page(figures: list[Figure], differences: list[Difference], resamples: int, unscored: dict[str, str]) -> str:
    """Return the page of what compare.compare_sections found with so many ``resamples``.

    unscored: dict from each machine that could not be scored to the reason.
    """
    left_out = "; ".join(f"{machine} ({reason})" for machine, reason in unscored.items())
    blocks = ["# Comparison of systems", EXPLAINED.format(resamples=resamples)]
    blocks += [*([f"Not scored: {left_out}."] if left_out else []), _totals(figures)]
    alone = _of_one_domain(figures)
    blocks += [f"{ONE_DOMAIN}: {', '.join(alone)}."] if alone else []
    for kind, title in TITLES.items():
        pairs = [pair for pair in differences if pair.metric == kind]
        blocks += [f"## {title}: paired differences", _pairs(pairs)] if pairs else []
    for metric in METRICS:
        own = [figure for figure in figures if figure.metric == metric]
        blocks += [f"## {metric}", _machines(own)] if own else []
    return "\n\n".join(blocks) + "\n"


def _of_one_domain(figures):
    """Return the machines that have figures of one domain only, in their order."""
    source, target, every = (
        {figure.machine: None for figure in figures if figure.metric == metric}
        for metric in ("auc_source", "auc_target", "pauc")
    )
    return [machine for machine in every if machine not in source or machine not in target]


def _totals(figures):
    columns, cells = ["system"], {}
    for kind, title in TITLES.items():
        columns += [title, "machines too"]
        for figure in figures:
            if figure.metric == kind:
                machines = f"[{100 * figure.low_machines:.1f}, {100 * figure.high_machines:.1f}]"
                cells.setdefault(figure.system, []).extend([_bracketed(figure), machines])
    return markdown([[system, *row] for system, row in cells.items()], columns)


def _pairs(pairs):
    columns = ("system", "against", "difference", "Holm's p", "detectable", "rank correlation", "")
    rows = [
        (
            *(pair.system, pair.against, _bracketed(pair, "+.2f", "+.1f"), f"{pair.p_holm:.3f}"),
            *(f"{100 * pair.detectable:.1f}", f"{pair.spearman:.2f}", pair.verdict),
        )
        for pair in pairs
    ]
    return markdown(rows, columns)


def _machines(figures):
    systems = list(dict.fromkeys(figure.system for figure in figures))
    rows = {}
    for figure in figures:
        rows.setdefault(figure.machine, []).append(_bracketed(figure, ".1f", ".0f"))
    return markdown([[machine, *cells] for machine, cells in rows.items()], ["machine", *systems])


def _bracketed(row, value=".2f", bound=".1f"):
    return f"{100 * row.value:{value}} [{100 * row.low:{bound}}, {100 * row.high:{bound}}]"
