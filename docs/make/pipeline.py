"""Draw the pipeline of systems 1 to 4: views, detectors and weights are read off the configuration."""

import re
from html import escape

from nearfar.backbones.families import BANDS
from nearfar.settings import views_of_feature

WIDTH, TOP, PITCH, BOX = 920, 70, 38, 28  # of the page; the first row; distance of the rows; height of a box
CLIPS, MODELS, VIEWS, DETECTORS = (12, 66), (104, 152), (286, 104), (424, 150)  # left edge and width of a column
NORMALIZED, SYSTEMS, STEP, OMEGA = (606, 100), 740, 32, (868, 42)
MODEL = {  # of a feature that a network makes; the others are computed
    "eat": ("EAT transformer", "with a LoRA adapter"),
    "lccr": ("LCCR network", "of both channels"),
    "classifier": ("classifier", "a network a fold"),
}
REFERENCE = ("against", "the training", "scores of", "each domain")
INK, FAINT, PAPER, PANEL, LEARNED, LINE = "#1f2933", "#52606d", "#ffffff", "#edf2f7", "#fdefd8", "#8a99a8"


def text(config: dict) -> str:
    """Return the SVG of ``config``: clips, features, detectors, normalized scores, fused systems, Ω."""
    systems = {
        name: about["weights"] for name, about in config["systems"].items() if re.fullmatch(r"system[1-4]", name)
    }
    weights = {name: _all_weights(given, config["core"]) for name, given in systems.items()}
    used = {name: config["detectors"][name]["views"] for name in set().union(*weights.values())}
    known = [view for feature in config["features"] for view in views_of_feature(config, feature)]
    views = [view for view in known if any(view in seen for seen in used.values())]
    order = list(config["detectors"])
    names = sorted(used, key=lambda name: (sum(map(views.index, used[name])) / len(used[name]), order.index(name)))
    height = PITCH * len(names)
    rows = {name: TOP + PITCH * (i + 0.5) for i, name in enumerate(names)}
    places = {view: TOP + height * (i + 0.5) / len(views) for i, view in enumerate(views)}
    parts = [
        *_headings(),
        *_clips_to_views(places, TOP + height / 2),
        *_detectors({name: used[name] for name in names}, rows, places),
        *_normalized(TOP, height),
        *_fused(weights, rows),
    ]
    return _page(parts, TOP + height + 50)


def _all_weights(given, core):
    """Return the weight of every detector that a system uses; the core shares what is left (Eq. 1)."""
    rest = (1 - sum(given.values())) / len(core)
    return {name: weight for name, weight in ({name: rest for name in core} | given).items() if weight > 1e-9}


def _page(parts, height):
    size = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    font = 'font-family="Helvetica, Arial, sans-serif" font-size="13" text-anchor="middle"'
    note = "learned once for all machines; the rest is a machine's own. The area of a disc is a weight."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
            "<title>From clips over features, detectors and normalized scores to fused systems and Ω</title>",
            f'<rect width="{WIDTH}" height="{height:g}" rx="8" fill="{PAPER}"/>',
            *parts,
            f'<rect x="12" y="{height - 28:g}" width="18" height="14" rx="3" fill="{LEARNED}" stroke="{LINE}"/>',
            f'<text x="38" y="{height - 16:g}" fill="{FAINT}" font-size="12" text-anchor="start">{note}</text>',
            "</svg>\n",
        ]
    )


def _headings():
    columns = [
        (_middle(CLIPS), "clips", "near and far"),
        (_middle(MODELS), "learned models", "one for all machines"),
        (_middle(VIEWS), "features", "a vector a clip"),
        (_middle(DETECTORS), "detectors", "fitted by machine, in folds"),
        (_middle(NORMALIZED), "normalized", "to one scale"),
        (SYSTEMS + 1.5 * STEP, "fused systems", "ranks, weighted"),
    ]
    for x, title, below in columns:
        yield f'<text x="{x:g}" y="26" fill="{INK}" font-size="14" font-weight="bold">{title}</text>'
        yield f'<text x="{x:g}" y="43" fill="{FAINT}" font-size="11">{below}</text>'


def _clips_to_views(places, middle):
    """Yield clips, views, and what leads from one to the other: a model's box or a line past all of them."""
    models = {}
    for view, y in places.items():
        model = MODEL.get(view.split("/")[0].removesuffix(BANDS))
        if model:
            models.setdefault(model, []).append(y)
        else:
            yield _line(_right(CLIPS), middle, MODELS[0], y, arrow=False)
        yield _line(_right(MODELS) if model else MODELS[0], y, VIEWS[0], y)
    for model, ys in models.items():
        yield _line(_right(CLIPS), middle, MODELS[0], sum(ys) / len(ys))
        yield from _box(MODELS, min(ys) - 22, max(ys) + 22, model, LEARNED)
    yield from _box(CLIPS, middle - 24, middle + 24, ("wav", "16 kHz"))
    for view, y in places.items():
        yield from _box(VIEWS, y - BOX / 2, y + BOX / 2, (view,))


def _detectors(used, rows, places):
    for name, views in used.items():
        for view in views:
            yield _line(_right(VIEWS), places[view], DETECTORS[0], rows[name])
        yield _line(_right(DETECTORS), rows[name], NORMALIZED[0], rows[name])
        yield from _box(DETECTORS, rows[name] - BOX / 2, rows[name] + BOX / 2, (name,))


def _normalized(top, height):
    yield from _box(NORMALIZED, top + 5, top + height - 5, REFERENCE)


def _fused(weights, rows):
    """Yield a disc for each weight, its area the weight, a column a system, and Ω."""
    last = SYSTEMS + (len(weights) - 1) * STEP
    for y in rows.values():
        yield _line(_right(NORMALIZED), y, last + STEP / 2, y, arrow=False)
    for i, (system, shares) in enumerate(weights.items()):
        x = SYSTEMS + i * STEP
        for name, weight in shares.items():
            title = f"<title>{escape(f'{system}: {name} {weight:.3g}')}</title>"
            yield f'<circle cx="{x}" cy="{rows[name]:g}" r="{17 * weight**0.5:.1f}" fill="{INK}">{title}</circle>'
        yield f'<text x="{x}" y="62" fill="{INK}" font-size="12" font-weight="bold">{system[-1]}</text>'
    end, middle = last + STEP / 2, (min(rows.values()) + max(rows.values())) / 2
    yield f'<path d="M{end:g} {min(rows.values()):g}V{max(rows.values()):g}" stroke="{LINE}" stroke-width="1.3"/>'
    yield _line(end, middle, OMEGA[0], middle)
    yield from _box(OMEGA, middle - 22, middle + 22, ("Ω",))


def _box(column, top, bottom, words, fill=PANEL):
    """Yield a box with lines of text at its middle."""
    x, width = column
    size = f'x="{x}" y="{top:g}" width="{width}" height="{bottom - top:g}"'
    yield f'<rect {size} rx="5" fill="{fill}" stroke="{LINE}"/>'
    first = (top + bottom) / 2 + 4.5 - 8.5 * (len(words) - 1)
    for i, word in enumerate(words):
        yield f'<text x="{_middle(column):g}" y="{first + 17 * i:g}" fill="{INK}">{escape(word)}</text>'


def _line(x, y, to_x, to_y, *, arrow=True):
    """Return a line that leaves and arrives level, with a head of its own."""
    bend = (to_x - x) / 2
    head = f"M{to_x - 6:g} {to_y - 4:g}l6 4l-6 4" if arrow else ""
    curve = f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path d="{curve}{head}" fill="none" stroke="{LINE}" stroke-width="1.3"/>'


def _middle(column):
    return column[0] + column[1] / 2


def _right(column):
    return column[0] + column[1]
