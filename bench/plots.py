"""Bars, as SVG written by hand: a plotting library would be the bench's largest dependency."""

from __future__ import annotations

import math
import statistics
from xml.sax.saxutils import escape

from bench.contenders import CONTENDERS
from bench.results import Results, Spread

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 820, 220, 90, 64, 20, 10
FAR = 4  # times the median of all bars: what is longer would leave the others no room
PLAIN, OWN = "#9aa5b1", "#d9480f"  # respfix stands out, also in grey
FONT = 'font-family="system-ui, sans-serif" font-size="13"'


Plots = dict[str, tuple[str, str]]
"""By file: what it shows, and its SVG."""


def draw(read: Results) -> Plots:
    """The plots for which there are numbers."""
    made: Plots = {}
    kinds = (("paced", "CPU time of one event, one at a time"), ("burst", "CPU time of one event, in bursts of 20"))
    for kind, title in kinds:
        scenario = f"{kind}/sub2api-an"
        if scenario in read:
            names = [each for each in read.names(scenario) if each in CONTENDERS and each != "direct"]
            bars = [(CONTENDERS[each].title, read.cost(scenario, each), each == "respfix") for each in names]
            made[f"{kind}.svg"] = title, chart(f"{title}: Sub2API's stream, µs", bars)
    scenario = "paced/sub2api-an"
    if scenario in read and "direct" in read.names(scenario):
        names = read.names(scenario)
        bars = [(CONTENDERS[each].title, read.latency(scenario, each, "p99"), each == "respfix") for each in names]
        title = "Latency of one event, p99"
        made["latency.svg"] = title, chart(f"{title}: 100 streams, 4,000 events/s, µs", bars)
    return made


def chart(title: str, bars: list[tuple[str, Spread, bool]]) -> str:
    """Horizontal bars from zero, the least and the most as a line; what is out of all proportion is broken off."""
    usual = FAR * statistics.median(value.median for _, value, _ in bars)
    most = max(value.most for _, value, _ in bars if value.median <= usual)
    bottom = TOP + len(bars) * (BAR + GAP)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, value / most)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 34}" {FONT} role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{bottom + 34}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="16" font-weight="600" fill="#1f2933">{escape(title)}</text>',
    ]
    step = _step(most)
    for at in (step * place for place in range(int(most / step) + 1)):
        out += [
            f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP - 8}" y2="{bottom}" stroke="#e4e7eb"/>',
            f'<text x="{x(at):.1f}" y="{bottom + 18}" fill="#616e7c" text-anchor="middle">{at:,g}</text>',
        ]
    for place, (name, value, is_own) in enumerate(bars):
        y = TOP + place * (BAR + GAP)
        middle, end = y + BAR / 2, x(value.median)
        weight, fill = (' font-weight="600"', OWN) if is_own else ("", PLAIN)
        number = f"{value.median:,.0f}" if value.median >= 100 else f"{value.median:.3g}"  # noqa: PLR2004 (three digits)
        out += [
            f'<text x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end" fill="#1f2933"{weight}>{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" fill="{fill}"/>',
        ]
        if value.median > most:
            out.append(f'<path d="M{end - 26} {y + BAR + 3}l10 {-BAR - 6}" stroke="#ffffff" stroke-width="5"/>')
        else:
            out.append(f'<path d="M{x(value.least):.1f} {middle}H{x(value.most):.1f}" stroke="#323f4b"/>')
        after = x(value.most) + 8
        out.append(f'<text x="{after:.1f}" y="{middle + 4.5}" fill="#1f2933"{weight}>{number}</text>')
    return "\n".join([*out, "</svg>\n"])


def _step(most: float) -> float:
    """A round number of which four to ten make an axis."""
    power: float = 10 ** math.floor(math.log10(most))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0) if most / (power * part) <= 10)  # noqa: PLR2004 (ticks)
