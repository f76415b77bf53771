"""How figures look and numbers read: colours, markers, words.

Colours are those of Okabe and Ito, told apart with every common colour blindness; each series also has its own marker
or dash. Backgrounds are transparent and lines are a grey that is visible on white and on black; the report recolours
text for dark pages.
"""

from collections.abc import Sequence
from textwrap import wrap

from interp_xfer.fields import Json
from interp_xfer.stats import p_values

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#7F7F7F"
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px")

ARM_NAMES = {"baseline": "baseline", "lambda_star": "λ*", "vote": "vote"}
ARM_COLOURS = {"baseline": GREY, "lambda_star": BLUE, "vote": ORANGE}

_SPACE = "\u00a0"  # between a number and its unit, so that lines do not break there


def template() -> Json:
    """Fonts, transparent backgrounds, quiet grid: a Plotly template."""
    axis = {
        "gridcolor": "rgba(127,127,127,0.25)",
        "zerolinecolor": "rgba(127,127,127,0.8)",
        "linecolor": GREY,
        "automargin": True,
        "ticks": "outside",
        "tickcolor": GREY,
        "zeroline": False,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    layout = {
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": "#2b3036"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(SERIES),
        "xaxis": axis,
        "yaxis": axis,
    }
    return {"layout": layout}


def plain(text: str) -> str:
    """Text that a plotly label shows as it is: labels read `<b>` and `&amp;` as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def wrapped(text: str, characters: int) -> str:
    """Plain text in lines of at most so many characters, as a plotly label."""
    return "<br>".join(plain(line) for line in wrap(text, characters)) or ""


def fill(colour: str, alpha: float = 0.16) -> str:
    """The colour, see-through, for bands."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}{_SPACE}%"


def points(share: float) -> str:
    """A difference in percentage points, signed."""
    text = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def percent_interval(low: float, high: float) -> str:
    """An interval of percent."""
    return f"[{100 * low:.1f},{_SPACE}{100 * high:.1f}]"


def point_interval(low: float, high: float) -> str:
    """An interval of percentage points."""
    return f"[{points(low)},{_SPACE}{points(high)}]"


def p_text(p_value: float | None) -> str:
    """A p value that does not break across lines: "p = .034", "p < .001", "not tested"."""
    return p_values.p_text(p_value).replace(" ", _SPACE)


def strength_axis(strengths: Sequence[float]) -> Json:
    """Settings of an axis that keeps 0.01 to 1.0 readable: logarithmic, or one step each if some are not positive."""
    if not strengths or min(strengths) <= 0:
        return {"type": "category", "categoryarray": [f"{s:g}" for s in sorted(strengths)]}
    return log_axis(min(strengths), max(strengths))


def log_axis(low: float, high: float) -> Json:
    """Settings of a logarithmic axis with a tick at 1, 2, 5 of each decade, or at each decade when there are many."""
    ticks = [float(f"{m}e{e}") for e in range(-12, 13) for m in (1, 2, 5)]
    shown = [tick for tick in ticks if low * 0.99 <= tick <= high * 1.01]
    if len(shown) > 9:
        shown = [tick for tick in shown if f"{tick:e}".startswith("1")]
    shown = shown if len(shown) > 1 else sorted({float(f"{low:.3g}"), float(f"{high:.3g}")})
    return {"type": "log", "tickvals": shown, "ticktext": [f"{tick:g}" for tick in shown]}


def strength_values(strengths: Sequence[float], axis: Json) -> list[str] | list[float]:
    """Coordinates on a `strength_axis`."""
    return [f"{s:g}" for s in strengths] if axis["type"] == "category" else list(strengths)
