"""The colours of the page against each other, by WCAG 2.2 (1.4.3 and 1.4.11)."""

import re

import pytest
from conftest import ROOT

STYLE = (ROOT / "src/nearfar/report/page/page.css").read_text(encoding="utf-8")
LIGHT, DARK = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{([^}]*#[^}]*)\}", STYLE))
GROUNDS = ("paper", "raised", "wash")
TEXT = {ink: GROUNDS for ink in ("ink", "soft", "link")} | {"anomaly": ("alarm",), "normal": ("calm",)}
DRAWN = {ink: ("raised",) for ink in ("training", "anomaly", "test", "soft", "ink")} | {"normal": ("raised", "wash")}


def contrast(one, other):
    """The ratio of two colours, #rgb or #rrggbb, from 1 to 21."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_wcags():
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the known grey that just fails


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_what_it_stands_on(colours):
    poor = {(ink, on): contrast(colours[ink], colours[on]) for ink, grounds in TEXT.items() for on in grounds}
    assert {pair: round(ratio, 2) for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_drawn_can_be_seen(colours):
    poor = {(ink, on): contrast(colours[ink], colours[on]) for ink, grounds in DRAWN.items() for on in grounds}
    assert {pair: round(ratio, 2) for pair, ratio in poor.items() if ratio < 3} == {}


def test_no_text_has_a_colour_that_is_not_looked_at():
    named = re.findall(r"[ {]color: ([^;]+);", STYLE) + re.findall(r"text \{[^}]*fill: ([^;]+);", STYLE)
    assert len(named) >= 9 and set(named) <= {f"var(--{ink})" for ink in TEXT} | {"#fff"}  # white, with a black shadow
