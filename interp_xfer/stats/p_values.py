"""How p values are written, everywhere: three decimals, "< .001" only below, and a missing one never as a small one."""

import math


def p_number(p_value: float | None) -> str:
    """A p value in a column of its own: ".034", "< .001", "1"; "-" where nothing was tested (None or NaN)."""
    if p_value is None or math.isnan(p_value):
        return "-"
    if p_value < 0.001:
        return "< .001"
    return "1" if p_value >= 0.9995 else f"{p_value:.3f}".removeprefix("0")


def p_text(p_value: float | None) -> str:
    """A p value in a sentence: "p = .034", "p < .001"; "not tested" where nothing was."""
    number = p_number(p_value)
    if number == "-":
        return "not tested"
    return f"p {number}" if number.startswith("<") else f"p = {number}"
