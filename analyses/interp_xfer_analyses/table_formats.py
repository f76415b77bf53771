"""The results table as text: HTML, Markdown and LaTeX from the same entries.

Bold: above the baseline, p < .05. The mark ↓ (LaTeX: a down arrow): below it, p < .05. Percent, 95 % intervals in
brackets; differences in percentage points.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from interp_xfer_analyses.drawing import style
from interp_xfer_analyses.questions.results_table import ArmResult, ResultsTable, Row


@dataclass(frozen=True)
class Entry:
    """One entry of the table."""

    text: str
    note: str = ""
    """Interval or p value, smaller and below where there is room."""
    bold: bool = False
    worse: bool = False


def entries(table: ResultsTable) -> tuple[list[str], list[list[Entry]]]:
    """Header and rows; columns that no row fills are left out."""
    full = [(name, [value(row) for row in table.rows]) for name, value in _COLUMNS]
    kept = [(name, column) for name, column in full if any(entry.text for entry in column)]
    body = [[column[index] for _, column in kept] for index in range(len(table.rows))]
    return [name for name, _ in kept], body


def to_html(table: ResultsTable) -> str:
    """A `<table>`, all text escaped."""
    header, body = entries(table)
    lines = [
        "<table>",
        "<thead><tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in header) + "</tr></thead>",
    ]
    lines.append("<tbody>")
    for row in body:
        lines.append("<tr>" + "".join(f"<td>{_html(entry)}</td>" for entry in row) + "</tr>")
    return "\n".join([*lines, "</tbody>", "</table>", ""])


def to_markdown(table: ResultsTable) -> str:
    """A pipe table."""
    header, body = entries(table)
    lines = [_pipe([_markdown_text(name) for name in header]), _pipe(["---"] * len(header))]
    return "\n".join([*lines, *(_pipe([_markdown(entry) for entry in row]) for row in body), ""])


def to_latex(table: ResultsTable) -> str:
    """A `tabular` that needs the package booktabs."""
    header, body = entries(table)
    lines = [f"\\begin{{tabular}}{{{'l' * len(header)}}}", "\\toprule", _amp([_latex_text(name) for name in header])]
    lines += ["\\midrule", *(_amp([_latex(entry) for entry in row]) for row in body)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


FORMATS: dict[str, Callable[[ResultsTable], str]] = {"html": to_html, "md": to_markdown, "tex": to_latex}
"""File name extension -> writer."""


def _accuracy(arm: ArmResult | None) -> Entry:
    if arm is None:
        return Entry("")
    note = style.percent_interval(arm.low, arm.high)
    return Entry(f"{100 * arm.accuracy:.2f}", note, bold=arm.better, worse=arm.worse)


def _change(arm: ArmResult | None) -> Entry:
    if arm is None or arm.delta is None or arm.delta_low is None or arm.delta_high is None or arm.p_value is None:
        return Entry("")
    interval = style.point_interval(arm.delta_low, arm.delta_high)
    return Entry(style.points(arm.delta), f"{interval}, {style.p_text(arm.p_value)}")


def _published(row: Row, field: str) -> Entry:
    if row.published is None:
        return Entry("")
    if field == "strength":
        return Entry("" if row.published.strength is None else f"{row.published.strength:g} (raw)")
    return Entry(f"{100 * getattr(row.published, field):.2f}")


def _strength(row: Row) -> Entry:
    return Entry("" if row.lambda_star_strength is None else f"{row.lambda_star_strength:g} ({row.unit})")


def _settings(row: Row) -> Entry:
    return Entry(row.label.removeprefix(f"{row.parent} → {row.child}, {row.dataset}").removeprefix(", "))


_COLUMNS: tuple[tuple[str, Callable[[Row], Entry]], ...] = (
    ("data set", lambda row: Entry(row.dataset)),
    ("parent", lambda row: Entry(row.parent)),
    ("child", lambda row: Entry(row.child)),
    ("settings", _settings),
    ("n", lambda row: Entry(str(row.n))),
    ("baseline", lambda row: _accuracy(row.baseline)),
    ("at λ*", lambda row: _accuracy(row.lambda_star)),
    ("change", lambda row: _change(row.lambda_star)),
    ("vote", lambda row: _accuracy(row.vote)),
    ("change by vote", lambda row: _change(row.vote)),
    ("λ*", _strength),
    ("published baseline", lambda row: _published(row, "baseline")),
    ("published at λ*", lambda row: _published(row, "lambda_star")),
    ("published λ*", lambda row: _published(row, "strength")),
)


def _html(entry: Entry) -> str:
    text = f"<strong>{escape(entry.text)}</strong>" if entry.bold else escape(entry.text)
    mark = ' <span title="below the baseline, p &lt; .05">↓</span>' if entry.worse else ""
    return text + mark + (f"<br><small>{escape(entry.note)}</small>" if entry.note else "")


def _markdown(entry: Entry) -> str:
    text = f"**{_markdown_text(entry.text)}**" if entry.bold else _markdown_text(entry.text)
    return " ".join(part for part in (text, "↓" if entry.worse else "", _markdown_text(entry.note)) if part)


def _markdown_text(text: str) -> str:
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, "\\" + mark)
    return text


def _pipe(entries: list[str]) -> str:
    return "| " + " | ".join(entries) + " |"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "λ": r"$\lambda$", "→": r"$\rightarrow$", "<": "$<$",
    ">": "$>$", "−": "$-$", "\u00a0": "~",
}  # fmt: skip


def _latex(entry: Entry) -> str:
    text = f"\\textbf{{{_latex_text(entry.text)}}}" if entry.bold else _latex_text(entry.text)
    return " ".join(part for part in (text, r"$\downarrow$" if entry.worse else "", _latex_text(entry.note)) if part)


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _amp(entries: list[str]) -> str:
    return " & ".join(entries) + r" \\"
