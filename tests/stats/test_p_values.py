"""p values in words: known answers, and nowhere a format of its own."""

import ast
from pathlib import Path

import pytest
from interp_xfer_analyses.drawing import style

from interp_xfer.stats.p_values import p_number, p_text

TABLE = [
    (None, "-", "not tested"),
    (float("nan"), "-", "not tested"),
    (0.0, "< .001", "p < .001"),
    (0.000999, "< .001", "p < .001"),
    (0.001, ".001", "p = .001"),
    (0.0341, ".034", "p = .034"),
    (0.05, ".050", "p = .050"),
    (0.9996, "1", "p = 1"),
    (1.0, "1", "p = 1"),
]


@pytest.mark.parametrize(("p_value", "number", "text"), TABLE)
def test_known_texts(p_value, number, text):
    assert (p_number(p_value), p_text(p_value)) == (number, text)
    assert style.p_text(p_value).replace("\u00a0", " ") == text


def test_no_other_place_formats_a_p_value():
    """Every f-string field whose name says p value goes through `p_text` or `p_number`."""
    found = []
    for folder in ("interp_xfer", "analyses", "cli"):
        for path in sorted((Path(__file__).parents[2] / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                    name = ast.unparse(node.value)
                    if name.endswith(("p_value", "p_value']", "rank_p", "rank_p']")) or ".p_" in name or name == "p":
                        found.append(f"{path.name}:{node.lineno}: {name}")
    assert [place for place in found if not place.startswith("p_values.py")] == []
